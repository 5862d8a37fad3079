"""The findings on a folder as a page with the pictures, for a reader who has to decide what to do about them."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from transferlib.check.report import FEW, NARROW, SMALL, Report, counted, plain
from transferlib.data.own.clean import number
from transferlib.data.own.images import load_image
from transferlib.errors import DataError
from transferlib.files.whole import write_whole

GROUPS = 30  # shown in each section; the rest is in report.json
PICTURES = 6  # shown of each group
NAMES = 100  # shown of each list
SIDE = 128  # pixels

STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; background: Canvas; color: CanvasText; }
.group { display: flex; flex-wrap: wrap; gap: .75rem; margin: 0 0 1rem; padding: .75rem; border: 1px solid GrayText; }
figure { margin: 0; width: 10rem; overflow-wrap: anywhere; }
img, .none { width: 8rem; height: 8rem; display: block; }
.none { border: 1px dashed GrayText; }
figcaption { font-size: .8rem; }
table { border-collapse: collapse; }
th, td { padding: .1rem .75rem .1rem 0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
li { overflow-wrap: anywhere; }
"""


def place(out: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """The folder to write a report on `folder` to; DataError if it is a file, or lies in `folder`: a class, next time.

    Called before the look at the images, which may take minutes.
    """
    path = Path(out)
    try:
        if path.exists() and not path.is_dir():
            raise DataError(f"--report {os.fspath(out)!r} is a file. Give a folder to write the report to.")
        inside = path.resolve().is_relative_to(Path(folder).resolve())
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, a loop of links
        raise DataError(f"--report {os.fspath(out)!r} cannot be used ({error}). Give another folder.") from error
    if inside:
        raise DataError(
            f"--report {os.fspath(out)!r} lies in {os.fspath(folder)!r}, where it would be taken for a class. "
            "Give a folder outside."
        )
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
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    grouped = [
        ("Identical files with two labels", "At least one of the labels is wrong.", report.two_labels),
        ("Across train, val and test", "The test would be on what was trained on.", report.crossing),
        ("Near copies with two labels", "A suspicion: look at them.", report.near_two_labels),
        ("Near copies across train, val and test", "A suspicion: look at them.", report.near_crossing),
        ("All near copies", "Pictures that look alike but are not one file.", report.near),
        ("All identical files", "They stay on one side when the folder is divided.", report.copies),
    ]
    small = f"Shorter side under {SMALL * report.image_size:g} pixels"
    listed = [
        ("Broken files", list(report.broken.values())),
        (f"Classes with fewer than {FEW} images", [f"{plain(k)}: {counted(v)}" for k, v in report.tiny.items()]),
        (small, [f"{plain(name)} ({size})" for name, size in report.small.items()]),
        (f"More than {NARROW:g} times as long as wide", [f"{plain(k)} ({size})" for k, size in report.narrow.items()]),
        ("Unusual pixel mode", [f"{plain(name)} ({m})" for m, names in report.odd_modes.items() for name in names]),
        ("Turned by their EXIF entry", [plain(name) for name in report.turned]),
        ("Ignored entries", [f"{plain(name)} ({why})" for name, why in report.ignored.items()]),
    ]
    body = [
        f"<h1>{_text(plain(report.path))}</h1>",
        *_verdict(report),
        *_table(report),
        *(line for title, why, groups in grouped for line in _groups(report, title, why, groups)),
        *(line for title, lines in listed for line in _list(title, lines)),
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(plain(report.path))}: data check</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            *body,
            "</body>\n</html>\n",
        ]
    )


def _verdict(report: Report) -> Iterable[str]:
    if report.ok:
        yield "<p><strong>Ready to be loaded.</strong></p>"
        return
    yield "<p><strong>Must be seen to before loading:</strong></p>"
    yield f"<ul>{''.join(f'<li>{_text(text)}</li>' for text in [*report.left_out, report.fatal] if text)}</ul>"


def _table(report: Report) -> Iterable[str]:
    parts = list(report.counts)
    heads = ["class", *(part or "images" for part in parts), *(f"{part} usable".strip() for part in parts)]
    yield f"<table><tr>{''.join(f'<th>{_text(head)}</th>' for head in heads)}</tr>"
    for name in sorted({name for part in parts for name in report.counts[part]}):
        cells = [plain(name), *(str(report.counts[part].get(name, 0)) for part in parts)]
        cells += [str(report.usable[part].get(name, "left out")) for part in parts]
        yield f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"
    yield "</table>"


def _groups(report: Report, title: str, why: str, groups: Sequence[Sequence[str]]) -> Iterable[str]:
    if not groups:
        return
    yield f"<h2>{_text(title)}: {number(len(groups), 'group')}</h2>\n<p>{_text(why)}</p>"
    for group in groups[:GROUPS]:
        yield '<div class="group">'
        yield from (_figure(report, name) for name in group[:PICTURES])
        yield f"<p>… and {len(group) - PICTURES:,} more files</p></div>" if len(group) > PICTURES else "</div>"
    if len(groups) > GROUPS:
        yield f"<p>… and {number(len(groups) - GROUPS, 'more group')}: see report.json.</p>"


def _figure(report: Report, name: str) -> str:
    """One picture with its class and name; its central square, as a network sees it."""
    label = name.split("/")[0 if "" in report.counts else 1]
    alt = _text(f"image of class {plain(label)}")
    try:
        pixels = load_image(Path(report.path, name), SIDE)
        buffer = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=80)
        source = base64.b64encode(buffer.getvalue()).decode()
        picture = f'<img alt="{alt}" src="data:image/jpeg;base64,{source}">'
    except DataError:  # changed or removed since it was checked
        picture = '<span class="none">cannot be shown</span>'
    return f"<figure>{picture}<figcaption><b>{_text(plain(label))}</b><br>{_text(plain(name))}</figcaption></figure>"


def _list(title: str, lines: Sequence[str]) -> Iterable[str]:
    if not lines:
        return
    yield f"<h2>{_text(title)}: {len(lines):,}</h2>"
    yield f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines[:NAMES])}</ul>"
    if len(lines) > NAMES:
        yield f"<p>… and {len(lines) - NAMES:,} more: see report.json.</p>"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
