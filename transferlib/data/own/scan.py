"""One pass over a folder of photographs: every file is listed, read, hashed and decoded once.

Here is decided what is a part (train, val, test), what is a class and what is no data at all. What can be read in two
ways is not guessed.
"""

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from glob import escape
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transferlib.data.own.images import SUFFIXES, THUMB, check_size, decode_image, read, thumbnail
from transferlib.data.own.names import by_key, label_of, number, seen
from transferlib.errors import DataError
from transferlib.files.room import check_room
from transferlib.files.waiting import waiting

LOOK = 2 * THUMB  # the side at which images are decoded that are only looked at
# What a folder's name says once all but its letters is taken away: "02_Training-set" is "trainingset".
_SPELLED = {
    "train": "train(ing)?|trn",
    "val": "val(id(ation)?)?|dev(el(opment)?)?|eval(uation)?",
    "test": "test(ing)?|tst|holdout|heldout",
}
_AROUND = "(my|the|set|split|part|folder|data|images?|imgs?|photos?|pictures?|samples?)*"
# What systems, cameras and network disks put beside photographs.
_CLUTTER = {"__macosx", "desktop.ini", "@eadir", "$recycle.bin", "recycler", "#recycle", "@recycle", "#snapshot"}
_CLUTTER |= {"system volume information", "lost+found", "lost.dir", "found.000", "thumbs.db"}
MARK = "made by transferlib"  # in every picture and page that the program writes
_OURS = "written by transferlib"
UNNAMED = "a picture, but not named like one: give it its suffix"
MASK = "named like the mask of another"
_MASKS = re.compile(r"(.+?)[_ -]*(masks?|seg|segmentation|gt|ground_?truth)([_-]?\d+)?", re.IGNORECASE)
_OUR_NAMES = r"(model|progress)(-[0-9a-f]{16})?\.(json|safetensors)|(images|features)-.*\.(bin|json)|metrics\.json"
_OUR_NAMES += r"|report\.(html|json)|MODEL_CARD\.md|.*\.cam\.png"


@dataclass(frozen=True, eq=False)
class Item:
    """One file that should be an image.

    name: its path inside the folder. part: "train", "val" or "test", or "" in a folder without such parts.
    label: its class, in Unicode's composed form. same: a digest of its pixels, as of `Picture`, and sha256 of its
    bytes. error: why it cannot be read, if so; size is (width, height) in the file and mode Pillow's name for its
    pixels; turned: whether its EXIF entry turns it. remark: what one should know of how it was read. thumb: grey,
    uint8 of shape (32, 32).
    """

    path: Path
    name: str
    part: str
    label: str
    sha256: str = ""
    same: str = ""
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
    over to the reason. unclear: why the folder can be read in two ways, if so; nothing is read then. depth: as it was
    given to `scan`.
    """

    root: Path
    parts: dict[str, Path]
    classes: dict[str, tuple[str, ...]]
    items: tuple[Item, ...]
    ignored: dict[str, str]
    unclear: str
    depth: int | None

    @property
    def readable(self) -> list[Item]:
        """The items that could be decoded."""
        return [item for item in self.items if not item.error]

    @property
    def nothing(self) -> str:
        """What to do about a folder without an image in a class folder."""
        loose = list(self.ignored.values()).count("not in a class folder")
        held = f"{number(loose, 'file')} but no class folder with images" if loose else "no images"
        name = os.fspath(self.root)
        return f"{name!r} holds {held}. Sort them into one folder for each class: <folder>/<class>/*.jpg."

    def needs(self, part: str) -> int:
        """How many unrelated images of each class the part must hold: one for each split that comes from it."""
        return 4 - len(self.parts) if part in ("", "train") else 1

    def called(self, part: str) -> str:
        """The part's folder, as it is spelled on the disk."""
        return f"{self.parts[part].name}/" if part else "the folder"


def scan(path: str | os.PathLike[str], *, image_size: int | None, train: bool = True, depth: int | None = None) -> Scan:
    """Read and decode each image of `path` in a thread pool, in the order of their names.

    image_size: the items carry their pixels, uint8 of shape (3, image_size, image_size); None: only their thumbnails.
    train: whether a folder with val/ or test/ must have train/ beside it; if not, val/ and test/ alone are parts too.
    depth: how deep in the folder, or in its parts, the class folders lie. 1, directly in it: what lies deeper counts
    for them. 2, in folders that are themselves passed over (years, sites). None: 1, unless several hold the same
    folders.
    Raises DataError when there is no such folder; a file that cannot be read is an item with an error.
    """
    root = Path(path)
    if image_size is not None:
        check_size(image_size)
    if depth not in (None, 1, 2):
        raise DataError(f"depth must be 1 or 2, not {depth!r}: how deep the class folders lie.")
    ignored: dict[Path, str] = {}
    try:
        if not (os.fspath(path) and root.is_dir()):  # to pathlib "" is the folder one is in
            what = "is a file, not a folder" if root.is_file() else "is not a folder that can be found"
            raise DataError(f"{os.fspath(path)!r} {what}. Give a folder with one folder of images for each class.")
        parts, unclear = _parts(root, ignored, train, depth)
        tops = {part: _tops(folder, depth or 1, ignored) for part, folder in parts.items()}
        files = {top: list(_files(top, ignored)) for part in tops for top in tops[part]}
    except OSError as error:
        raise _unlisted(path, error) from error
    unclear = unclear or _twins([*files]) or ("" if depth else _two_depths(tops, files))
    classes = {part: tuple(dict.fromkeys(label_of(top.name) for top in tops[part])) for part in tops}
    listed = [(part, top, file) for part in tops for top in tops[part] for file in files[top]]
    todo = [Item(file, file.relative_to(root).as_posix(), part, label_of(top.name)) for part, top, file in listed]
    if unclear:
        todo, unclear = [], f"{os.fspath(path)!r} is not clear: {unclear}"
    check_room(image_size or 1, len(todo))
    items = tuple(in_threads(lambda item: _load(item, image_size), todo, "reading images"))
    return Scan(root, parts, classes, items, _named(root, ignored), unclear, depth)


def images_in(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The files of a folder, at any depth, that `scan` would take for images, and what it would pass over, and why."""
    ignored: dict[Path, str] = {}
    try:
        return list(_files(folder, ignored)), _named(folder, ignored)
    except OSError as error:
        raise _unlisted(folder, error) from error


def outside(option: str, out: str | os.PathLike[str], *folders: str | os.PathLike[str]) -> Path:
    """Where to write; DataError if it is empty or lies in one of the folders of images, where it would become data.

    Called before the look at the images, which may take minutes.
    """
    if not os.fspath(out).strip():
        raise DataError(f"{option} is empty. Give the place to write to.")
    try:
        real = (path := Path(out).expanduser()).resolve()
        inside = [os.fspath(f) for f in folders if f and (p := Path(f)).is_dir() and real.is_relative_to(p.resolve())]
        near = next(each for each in (real, *real.parents) if each.exists())
    except (OSError, ValueError, RuntimeError) as error:  # too long, a zero byte, a loop of links
        raise DataError(f"{option} {os.fspath(out)!r} cannot be used ({error}). Give another place.") from error
    if inside:
        why = f"lies in {inside[0]!r}, where it would be taken for a class or an image"
        raise DataError(f"{option} {os.fspath(out)!r} {why}. Give a place outside.")
    if not os.access(near, os.W_OK) or (near != real and not near.is_dir()):
        told = f"{option} {os.fspath(out)!r} cannot be written"
        raise DataError(f"{told}: {os.fspath(near)!r} is no folder that you may write to. Give another place.")
    return path


def ours(path: Path) -> bool:
    """Whether this program made the picture or the page."""
    with suppress(OSError):
        if path.is_file():  # opening a pipe could block
            with path.open("rb") as file:
                start = file.read(2048)
                file.seek(max(0, path.stat().st_size - 2048))  # PDFs say it at the end
                return MARK.encode() in start + file.read()
    return False


def in_threads(function: Callable[[Any], Any], items: Sequence[Any], told: str) -> list[Any]:
    """What the function makes of each item, in their order, in several threads: Pillow decodes outside the lock."""
    made = []
    with waiting(told, len(items)) as count, ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for result in pool.map(function, items):
            made.append(result)
            count()
    return made


def _parts(root: Path, ignored: dict[Path, str], train: bool, depth: int | None) -> tuple[dict[str, Path], str]:
    """The folders train, val and test in their usual spellings, or {"": root}; and why that is not sure, if so.

    A folder that holds no folders is no part: "train" may be a class, beside "bus".
    """
    tops = _tops(root, 1, {})
    called = {folder: part for folder in tops if (part := part_of(folder.name))}
    others = [folder for folder in tops if folder not in called and any(_files(folder, {}))]
    given = [folder for folder in called if _tops(folder, 1, {})]
    parts = {called[folder]: folder for folder in given}
    twice = [(one, two) for one, two in combinations(given, 2) if called[one] == called[two]]
    lone = list(parts) == ["train"] and bool(others)
    if not twice and (("train" in parts and not lone) or (parts and not others and not train)):
        rest = {*root.iterdir()} - {*parts.values()}
        ignored.update(dict.fromkeys(rest, "beside train, val and test, and none of them"))
        return {part: parts[part] for part in ("train", "val", "test") if part in parts}, ""
    names, found = " and ".join(repr(folder.name) for folder in called), ""
    if twice:
        one, two = twice[0]
        found = f"both {one.name!r} and {two.name!r} say {called[one]!r}. Rename or remove one."
    elif lone:
        found = f"{names} may be the training part, or a class beside {others[0].name!r}. Move one of them away."
    elif parts and (not others or len(called) > 1):
        found = f"there is {names}, but no train/. Perhaps you mean {os.fspath(root / next(iter(called)))!r}?"
    elif len({*called.values()}) > 1:
        found = f"{names} may be parts, but hold no class folders. Make one for each class in them."
    return {"": root}, f"{found} Or say --depth 1 if they are classes." if found and depth is None else ""


def part_of(name: str) -> str:
    """The part that a folder's name says: "train", "val" or "test", or ""."""
    letters = re.sub(r"[\W\d_]+", "", unicodedata.normalize("NFKC", name).casefold())
    return next((part for part, said in _SPELLED.items() if re.fullmatch(f"{_AROUND}({said})s?{_AROUND}", letters)), "")


def _tops(folder: Path, depth: int, ignored: dict[Path, str]) -> list[Path]:
    """The class folders, so deep in a folder."""
    tops = _sifted(folder, _no_class, ignored)
    return tops if depth == 1 else [inner for top in tops for inner in _tops(top, depth - 1, ignored)]


def _two_depths(tops: dict[str, list[Path]], files: dict[Path, list[Path]]) -> str:
    """Why it is not sure that the outer folders are the classes; "" if it is."""
    for part in tops:
        for same in by_key(tops[part], lambda top: _said(top.name)[1]):
            if _said(same[0].name)[1] and len({_said(top.name)[0] for top in same} - {()}) > 1:
                names = f"{same[0].name!r} and {same[-1].name!r} may be parts of one class"
                return f"{names}. Make folders train, val and test, and the classes in them. Or say --depth 1 if not."
        holders: dict[str, list[Path]] = defaultdict(list)
        for top in tops[part]:
            inside = {label_of(file.relative_to(top).parts[0]).casefold() for file in files[top] if file.parent != top}
            said = sorted({part_of(name) for name in inside} - {""})
            if len(said) > 1:
                alone = not any(files[other] for other in tops[part] if other != top)
                remedy = f"Put the parts outside and the classes inside, '{said[0]}/{top.name}' and so on."
                remedy = f"Perhaps you mean {os.fspath(top)!r}?" if alone else remedy
                return f"{top.name!r} holds {' and '.join(said)}. {remedy} Or say --depth 1 to pool them."
            beside = {label_of(other.name).casefold() for other in tops[part] if other != top}
            if beside & inside:
                told = f"{top.name!r} holds a folder {min(beside & inside)!r}, and so is a class beside it called"
                return f"{told}. Move its images there, or say --depth 1 if they belong to {top.name!r}."
            for name in sorted(inside):
                holders[name].append(top)
        for name, (one, *others) in holders.items():
            if others:
                told = f"{one.name!r} and {others[0].name!r} both hold a folder {name!r}. Which are the classes?"
                depths = "--depth 1: the outer ones, with all that lies in them. --depth 2: the inner ones."
                return f"{told} {depths} If the outer are parts, call them train, val and test."
    return ""


def _said(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts that the words of a name say, and its other words: "cats_train" says "train" of "cats"."""
    words = re.findall(r"[^\W_]+", label_of(name).casefold())
    return tuple(filter(None, map(part_of, words))), tuple(word for word in words if not part_of(word))


def _twins(tops: Iterable[Path]) -> str:
    """Two class folders whose names look the same; "" if there are none."""
    for same in by_key(tops, lambda top: seen(top.name)):
        for one, two in combinations(same, 2):
            beside = one.parent == two.parent
            if one.name != two.name and (beside or label_of(one.name) != label_of(two.name)):
                names = [f"{name!r} ({' '.join(f'U+{ord(c):04X}' for c in name)})" for name in (one.name, two.name)]
                return f"the class folders {' and '.join(names)} look the same. Merge them, or rename one."
    return ""


def _unlisted(path: str | os.PathLike[str], error: OSError) -> DataError:
    name, why = os.fspath(error.filename or path), error.strerror or error
    return DataError(f"{name!r} cannot be listed ({why}). Check that it exists and that you may read it.")


def _named(root: Path, ignored: dict[Path, str]) -> dict[str, str]:
    return dict(sorted((entry.relative_to(root).as_posix(), why) for entry, why in ignored.items()))


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
        hidden = entry.name.startswith(".") or entry.name.casefold() in _CLUTTER
        if reason := "hidden" if hidden else fault(entry):
            ignored[entry] = reason
        else:
            kept.append(entry)
    return kept


def _no_class(entry: Path) -> str:
    if not entry.is_dir():
        return "not in a class folder"
    if entry.is_symlink() and entry.parent.resolve().is_relative_to(entry.resolve()):
        return "a link that leads back here"
    seen: dict[Path, str] = {}
    return _OURS if not any(_files(entry, seen)) and _OURS in seen.values() else ""


def _no_image(entry: Path) -> str:
    if entry.is_dir():
        return "a link to a folder, not followed" if entry.is_symlink() else ""
    if re.fullmatch(_OUR_NAMES, entry.name) or (entry.suffix.lower() in (".png", ".svg") and ours(entry)):
        return _OURS
    if entry.suffix.lower() in SUFFIXES:
        return ""
    with suppress(OSError):
        if entry.is_file():  # opening a pipe could block
            with entry.open("rb") as file:
                if file.read(8).startswith((b"\xff\xd8\xff", b"\x89PNG")):
                    return UNNAMED
    return "not named like an image"


def _load(item: Item, image_size: int | None) -> Item:
    try:
        data = read(item.path, name=item.name)
        picture = decode_image(data, image_size or LOOK, name=item.name)
    except DataError as error:
        return replace(item, error=str(error))
    facts = picture._asdict() | {"sha256": hashlib.sha256(data).hexdigest(), "thumb": thumbnail(picture.pixels)}
    if (said := _MASKS.fullmatch(item.path.stem)) and any(item.path.parent.glob(f"{escape(said[1])}.*")):
        facts["remark"] = "; ".join(filter(None, (MASK, picture.remark)))
    facts["pixels"] = picture.pixels if image_size else None
    return replace(item, **facts)
