"""One pass over a folder of photographs: every file is listed, read, hashed and decoded once."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transferlib.data.own.images import SUFFIXES, THUMB, check_size, decode_image, read, thumbnail
from transferlib.errors import DataError
from transferlib.files.room import check_room
from transferlib.files.waiting import waiting

SPELLINGS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LOOK = 2 * THUMB  # the side at which images are decoded that are only looked at


@dataclass(frozen=True, eq=False)
class Item:
    """One file that should be an image.

    name: its path inside the folder. part: "train", "val" or "test", or "" in a folder without such parts.
    error: why it cannot be read, if so; size is (width, height) in the file and mode Pillow's name for its pixels;
    turned: whether its EXIF entry turns it; remark: what one should know of how it was read. It has either pixels or
    a grey thumb, uint8 of shape (32, 32).
    """

    path: Path
    name: str
    part: str
    label: str
    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    turned: bool = False
    remark: str = ""
    error: str = ""
    pixels: Tensor | None = None
    thumb: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Scan:
    """All files of a folder.

    `parts` maps each part to its folder, `classes` each part to its class folders, `ignored` each entry that was passed
    over to the reason.
    """

    root: Path
    parts: dict[str, Path]
    classes: dict[str, tuple[str, ...]]
    items: tuple[Item, ...]
    ignored: dict[str, str]

    @property
    def readable(self) -> list[Item]:
        """The items that could be decoded."""
        return [item for item in self.items if not item.error]

    def needs(self, part: str) -> int:
        """How many unrelated images of each class the part must hold: one for each split that comes from it."""
        return 4 - len(self.parts) if part in ("", "train") else 1

    def called(self, part: str) -> str:
        """The part's folder, as it is spelled on the disk."""
        return f"{self.parts[part].name}/" if part else "the folder"


def scan(path: str | os.PathLike[str], *, image_size: int | None, train: bool = True) -> Scan:
    """Read and decode each image of `path` in a thread pool, in the order of their names.

    image_size: the items carry their pixels, uint8 of shape (3, image_size, image_size); None: their thumbnails.
    train: whether a folder with val/ or test/ must have train/ beside it; if not, val/ and test/ alone are parts too.
    Raises DataError when there is no such folder; a file that cannot be read is an item with an error.
    """
    root = Path(path)
    if image_size is not None:
        check_size(image_size)
    ignored: dict[Path, str] = {}
    try:
        if not root.is_dir():
            what = "is a file, not a folder" if root.is_file() else "is not a folder that can be found"
            raise DataError(f"{os.fspath(path)!r} {what}. Give a folder with one folder of images for each class.")
        parts = _parts(root, ignored, train)
        tops = {part: _sifted(folder, _no_class, ignored) for part, folder in parts.items()}
        todo = [
            Item(file, file.relative_to(root).as_posix(), part, top.name)
            for part in tops
            for top in tops[part]
            for file in _files(top, ignored)
        ]
    except OSError as error:
        raise DataError(
            f"{os.fspath(error.filename or path)!r} cannot be listed ({error.strerror or error}). "
            "Check that it exists and that you may read it."
        ) from error
    check_room(image_size or 1, len(todo))
    items = tuple(in_threads(lambda item: _load(item, image_size), todo, "reading images"))
    classes = {part: tuple(top.name for top in tops[part]) for part in tops}
    reasons = sorted((entry.relative_to(root).as_posix(), why) for entry, why in ignored.items())
    return Scan(root, parts, classes, items, dict(reasons))


def in_threads(function: Callable[[Any], Any], items: Sequence[Any], told: str) -> list[Any]:
    """What the function makes of each item, in their order, in several threads: Pillow decodes outside the lock."""
    made = []
    with waiting(told, len(items)) as count, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for result in pool.map(function, items):
            made.append(result)
            count()
    return made


def _parts(root: Path, ignored: dict[Path, str], train: bool) -> dict[str, Path]:
    """The folders train, val and test in their usual spellings; {"": root} where the classes lie in root itself.

    A folder that holds no folders is no part: "train" may be a class, beside "bus".
    """
    top = _sifted(root, _no_class, {})
    parts: dict[str, Path] = {}
    for folder in top:
        if (part := SPELLINGS.get(folder.name.casefold())) and _sifted(folder, _no_class, {}):
            if part in parts:
                raise DataError(
                    f"{os.fspath(root)!r} holds both {parts[part].name!r} and {folder.name!r}, and both say {part!r}. "
                    "Rename or remove one."
                )
            parts[part] = folder
    alone = bool(parts) and len(parts) == len(top) and not train
    if "train" not in parts and not alone:
        return {"": root}
    ignored.update(dict.fromkeys({*root.iterdir()} - {*parts.values()}, "beside train, val and test, and none of them"))
    return {part: parts[part] for part in ("train", "val", "test") if part in parts}


def _files(top: Path, ignored: dict[Path, str]) -> Iterator[Path]:
    """The files at any depth that are named like images, sorted by folder and name; anything else is noted."""
    todo = [top]
    while todo:
        entries = _sifted(todo.pop(), _no_image, ignored)
        yield from (entry for entry in entries if not entry.is_dir())
        todo += reversed([entry for entry in entries if entry.is_dir()])


def _sifted(top: Path, fault: Callable[[Path], str], ignored: dict[Path, str]) -> list[Path]:
    """The entries of a folder, sorted, that are visible and without fault; the others are noted."""
    kept = []
    for entry in sorted(top.iterdir()):
        hidden = entry.name.startswith(".") or entry.name.casefold() in {"__macosx", "thumbs.db", "desktop.ini"}
        if reason := "hidden" if hidden else fault(entry):
            ignored[entry] = reason
        else:
            kept.append(entry)
    return kept


def _no_class(entry: Path) -> str:
    if not entry.is_dir():
        return "not in a class folder"
    back = entry.is_symlink() and entry.parent.resolve().is_relative_to(entry.resolve())
    return "a link that leads back here" if back else ""


def _no_image(entry: Path) -> str:
    if entry.is_dir():
        return "a link to a folder, not followed" if entry.is_symlink() else ""
    return "" if entry.suffix.lower() in SUFFIXES else "not named like an image"


def _load(item: Item, image_size: int | None) -> Item:
    try:
        data = read(item.path, name=item.name)
        picture = decode_image(data, image_size or LOOK, name=item.name)
    except DataError as error:
        return replace(item, error=str(error))
    item = replace(item, sha256=hashlib.sha256(data).hexdigest(), **picture._asdict())
    return item if image_size else replace(item, pixels=None, thumb=thumbnail(picture.pixels))
