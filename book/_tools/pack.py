"""Packs what a classroom without network needs into _build/head-start.zip: the site, and all that git keeps.

Open `site/index.html` in the unpacked folder to read; the rest is the project, with lessons, data and requirements.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
TARGET = ROOT / "_build" / "head-start.zip"
FOLDER = "head-start"


def kept() -> list[Path]:
    """The files of the project: what git keeps."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listing.stdout.split("\0") if name]


def pack(target: Path) -> None:
    """Write the zip, under a temporary name first."""
    whole = target.with_suffix(".part")
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(SITE.rglob("*")):
            if path.is_file():
                archive.write(path, f"{FOLDER}/site/{path.relative_to(SITE).as_posix()}")
        for path in sorted(kept()):
            if path.is_file():
                archive.write(path, f"{FOLDER}/{path.relative_to(ROOT).as_posix()}")
    whole.replace(target)


def main() -> None:
    if not (SITE / "index.html").exists():
        sys.exit("there is no site in _build/html: run `make book` first.")
    try:
        pack(TARGET)
    except (subprocess.CalledProcessError, FileNotFoundError):
        sys.exit("make zip asks git which files belong to the project: run it in a clone, with git installed.")
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size / 1e6:.1f} MB; unpack it and open site/index.html")


if __name__ == "__main__":
    main()
