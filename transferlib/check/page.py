"""The findings on a folder as a page with the pictures, for a reader who has to decide what to do about them."""

import base64
import hashlib
import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from transferlib.check.report import Report, plain
from transferlib.data.own.images import load_image
from transferlib.data.own.names import number
from transferlib.data.own.scan import MARK, ours, outside
from transferlib.errors import DataError
from transferlib.files.template import fill
from transferlib.files.whole import write_whole

GROUPS = 30  # shown in each section; the rest is in report.json
PICTURES = 6  # shown of each group
NAMES = 100  # shown of each list
SIDE = 128  # pixels


def place(out: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """The folder to write a report on `folder` to. DataError if it lies in `folder`, or holds files that are not ours.

    Called before the look at the images, which may take minutes.
    """
    path = outside("--report", out, folder)
    if path.exists() and not path.is_dir():
        raise DataError(f"--report {os.fspath(out)!r} is a file. Give a folder to write the report to.")
    page, data = path / "report.html", path / "report.json"
    if (page.exists() or data.exists()) and not ours(page):
        raise DataError(f"--report {os.fspath(out)!r} holds a report that we did not write. Give another folder.")
    return path


def write_page(report: Report, out: Path) -> None:
    """Write report.json and report.html, one file with all its pictures, into `out`; each whole or not at all.

    Raises CheckpointError when the folder cannot be written.
    """
    write_whole(out / "report.json", report.to_json().encode())
    # A name may hold bytes that are no text (lone surrogates); the page shows them as \udcXX.
    write_whole(out / "report.html", page(report).encode("utf-8", "backslashreplace"))


def page(report: Report) -> str:
    """The report as one HTML page that loads nothing from elsewhere and runs nothing."""
    facts: dict[str, Any] = {"GROUPS": GROUPS, "PICTURES": PICTURES, "NAMES": NAMES, "MARK": MARK}
    facts |= {"number": number, "plain": plain, "digest": _digest, "jpeg": lambda name: _jpeg(Path(report.path, name))}
    return fill(Path(__file__).with_name("page.html"), autoescape=True, report=report, **facts)


def _digest(text: str) -> str:
    """The SHA-256 by which a content security policy knows a style."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _jpeg(path: Path) -> str:
    """The central square of a picture, as a network sees it, in base64; "" if it cannot be read any more."""
    try:
        pixels = load_image(path, SIDE)
    except DataError:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
