"""The photographs inside the scikit-image and scikit-learn packages: which, whose, and proof that they are the ones."""

import hashlib
import importlib.util
import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from transferlib.errors import DataError

VERSIONS = {"skimage": "scikit-image==0.26.0", "sklearn": "scikit-learn==1.9.1"}


@dataclass(frozen=True)
class Photograph:
    """A file inside an installed package, its SHA-256, and whom to thank for it.

    box: (left, top, right, bottom), the part in use: of the retina the square inside the round image. None: all of it.
    """

    package: str
    file: str
    sha256: str
    credit: str
    box: tuple[int, int, int, int] | None = None


# Credits as the docstrings of skimage/data/_fetchers.py and sklearn/datasets/images/README.txt give them.
_TABLE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("originals.json").read_text("utf-8"))
CREDITS = {name: Photograph(**row | {"box": tuple(row.get("box", ())) or None}) for name, row in _TABLE.items()}


@lru_cache(maxsize=64)
def photograph(name: str, color: bool) -> Image.Image:
    """The decoded photograph of a class, grey ("L") or in colour ("RGB"); treat it as read-only.

    Raises DataError when the file is missing or its SHA-256 is not the one in CREDITS.
    """
    photo = CREDITS[name]
    spec = importlib.util.find_spec(photo.package)
    folders = (spec.submodule_search_locations if spec else None) or [photo.package]
    path = Path(folders[0]) / photo.file
    remedy = f"Install the version it is known from: pip install {VERSIONS[photo.package]}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"photos: {path} ({name}) cannot be read: {error.strerror}. {remedy}") from error
    if (found := hashlib.sha256(content).hexdigest()) != photo.sha256:
        raise DataError(f"photos: {path} ({name}) has SHA-256 {found}, not {photo.sha256}. {remedy}")
    return Image.open(io.BytesIO(content)).convert("RGB" if color else "L").crop(photo.box)
