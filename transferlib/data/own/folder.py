"""A reader's own folder of photographs."""

import os
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from transferlib.data.own.clean import Cleaned, GroupRule, clean, copies, group_ids, id_doubt, passed_over, sound
from transferlib.data.own.images import THUMB, load_image
from transferlib.data.own.names import alike, by_key, label_of, number, some
from transferlib.data.own.near import near_copies
from transferlib.data.own.scan import Item, Scan, in_threads, outside, scan
from transferlib.data.splits import PARTS, Split, Splits, draw, split_by_group
from transferlib.errors import DataError
from transferlib.files.tensors import hash_of, mapped_tensor

SHARE = 0.2
FLATTERED = "If the model was trained on some of them, the score is flattered."
Where = str | os.PathLike[str]
OnBad = Literal["error", "skip"]
Size = int | None  # None: what there is, or a share of it


def folder(
    path: Where,
    *,
    image_size: int = 224,
    n_train: int | None = None,
    n_val: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    groups: GroupRule = None,
    depth: int | None = None,
    on_bad: OnBad = "error",
    augment: str = "flip",
    cache: Where | None = None,
) -> Splits:
    """Load `<path>/<class>/*.jpg`, or the same below `train/`, `val/` and `test/` in any usual spelling ("Testing").

    What is not given is cut from the training folder, stratified and by group: a fifth for the test, a fifth for
    validation, the rest for training. With train/ and val/ alone, val/ is the test split and validation is cut
    from train/. n_val and n_test draw that many instead (in whole groups, so perhaps a few more or fewer), and
    n_train draws from what remains: for one seed, val and test are the same whatever n_train is.

    groups: what belongs together besides identical pictures, which always do: a function from a file's path to an
    id, or a regular expression whose first group is the id in the file's name, such as r"^(patient\\d+)", or else in
    its path inside the folder, such as r"/(.+)/". A warning tells where names look like ids and none are given.
    depth: how deep the class folders lie, as in `scan`; to be said where several hold the same folders.
    on_bad: "error" refuses a folder with broken files, identical pictures with two labels, related files on two
    sides of a given division, or classes too small to be in every split; "skip" leaves them out, warns and notes it.
    Returns Splits of uint8 images (N, 3, image_size, image_size) with `notes` on everything left out or ignored.
    All images are decoded before any is chosen, so memory must hold them: 3 · image_size² bytes each. cache: a
    folder for the decoded images of each split instead, memory-mapped files that are found again by the hashes of
    the photographs; memory then holds what is in use. Raises DataError.
    """
    if cache is not None:
        outside("cache", cache, path)
    found = scan(path, image_size=image_size if cache is None else None, depth=depth)
    usable = clean(found, groups)
    if usable.fatal:
        left_out = f" Before that, left out:{_listed(usable.left_out)}" if found.items and usable.left_out else ""
        raise DataError(usable.fatal + left_out)
    refuse_or_warn(path, usable.left_out, on_bad)
    if doubt := id_doubt(path, usable.items, groups, found.depth):
        warnings.warn(f"{os.fspath(path)!r}: {doubt}", stacklevel=2)
    labels = np.array([usable.classes.index(item.label) for item in usable.items])
    ids = np.array([usable.ids[item] for item in usable.items])
    rows = {part: np.flatnonzero([item.part == part for item in usable.items]) for part in found.parts}
    chosen = divide(rows, labels, ids, (n_train, n_val, n_test), seed)
    refuse_absent(path, usable.classes, {name: labels[index] for name, index in chosen.items()}, "image")

    def split(index: np.ndarray) -> Split:
        images = _images([usable.items[i] for i in index], image_size, cache)
        return Split(images, torch.tensor(labels[index]), torch.tensor(ids[index]))

    train, val, test = (split(chosen[name]) for name in PARTS)
    notes = tuple(_notes(found, usable, chosen, labels, groups, image_size >= THUMB))
    return Splits(train, val, test, tuple(usable.classes), found.root.resolve().name, augment, notes=notes)


def labelled_split(
    path: Where, classes: tuple[str, ...], *, image_size: int, on_bad: OnBad = "error", depth: int | None = None
) -> Split:
    """Load the held-out images of a folder, to score a model that knows `classes`, in their order.

    Held out is test/, else val/, with or without train/ beside it; a folder without such parts is read whole, with a
    warning that images the model was trained on flatter it. on_bad as in `folder`, for broken files, identical
    pictures with two labels and classes that the model does not know; depth as in `folder`. Raises DataError.
    """
    found = scan(path, image_size=image_size, train=False, depth=depth)
    if found.unclear:
        raise DataError(found.unclear)
    part = next(name for name in ("test", "val", "train", "") if name in found.parts)
    usable, left_out = sound([item for item in found.items if item.part == part])
    numbers = {label_of(name): index for index, name in enumerate(classes)}
    left_out += foreign((item.label for item in usable), numbers)
    usable = [item for item in usable if item.label in numbers]
    refuse_or_warn(path, left_out, on_bad)
    if not usable:
        raise DataError(f"{os.fspath(path)!r} holds no image that can be used." if found.items else found.nothing)
    for remark in _remarks(usable):
        warnings.warn(f"{os.fspath(path)!r}: {remark}", stacklevel=2)
    if part in ("train", ""):
        told = f"{os.fspath(path)!r} has no test/ or val/: all its {len(usable)} images are scored"
        warnings.warn(f"{told}. {FLATTERED}", stacklevel=2)
    labels = torch.tensor([numbers[item.label] for item in usable])
    ids = group_ids(usable)
    return Split(_images(usable, image_size, None), labels, torch.tensor([ids[item] for item in usable]))


def refuse_or_warn(path: Where, left_out: list[str], on_bad: str) -> None:
    """Refuse what cannot be used, or warn that it is left out."""
    if on_bad not in ("error", "skip"):
        raise DataError(f'on_bad must be "error" or "skip", not {on_bad!r}.')
    if left_out and on_bad == "error":
        remedy = 'Repair or remove these, or load with on_bad="skip" to leave them out (--on-bad skip in the terminal).'
        told = f"{os.fspath(path)!r} cannot be used as it is:{_listed(left_out)}"
        raise DataError(f"{told}\n{remedy} See all of them: transferlib data check.")
    for reason in left_out:
        warnings.warn(f"{os.fspath(path)!r}: left out {reason}.", stacklevel=3)


def foreign(labels: Iterable[str], classes: Collection[str]) -> list[str]:
    """The labels that a model does not know, in words: none or one text."""
    strange = sorted({*labels} - {*classes})
    told = f"{number(len(strange), 'class', 'classes')} that the model does not know: {some(map(repr, strange))}"
    return [f"{told}. It knows {some(map(repr, classes))}"] if strange else []


def refuse_absent(path: Where, classes: Sequence[str], labels: dict[str, np.ndarray], noun: str) -> None:
    """DataError where one of train, val and test, by their labels, got nothing of a class."""
    for part, given in labels.items():
        if absent := [repr(name) for k, name in enumerate(classes) if k not in given]:
            remedy = f"Ask for more than n_{part}={len(given)}, or try another seed"
            raise DataError(f"{os.fspath(path)!r}: {part} got no {noun} of {some(absent)}. {remedy}.")


def divide(
    rows: dict[str, np.ndarray], labels: np.ndarray, ids: np.ndarray, sizes: tuple[Size, Size, Size], seed: int
) -> dict[str, np.ndarray]:
    """The indices of train, val and test, of these sizes. rows: those of each part that is given."""
    wanted = dict(zip(PARTS, sizes, strict=True))
    k = len(np.unique(labels))
    for name, n in wanted.items():
        if n is not None and n < k:
            raise DataError(f"n_{name}={n} is fewer than the {k} classes. Ask for at least one image of each.")

    def take(name: str, index: np.ndarray) -> np.ndarray:
        n = wanted[name]
        if n is not None and n > len(index):
            raise DataError(f"n_{name}={n} is more than the {len(index)} images there are for it. Ask for fewer.")
        return draw(labels, ids, index, n, seed=seed)

    given = {name: index for name, index in rows.items() if name in ("val", "test")}
    if list(given) == ["val"]:
        given = {"test": given["val"]}
    chosen = {name: take(name, index) for name, index in given.items()}
    pool = rows["train" if "train" in rows else ""]
    cut = {name: wanted[name] or max(k, round(SHARE * len(pool))) for name in ("test", "val") if name not in given}
    n_train = wanted["train"] or k
    if sum(cut.values()) + n_train > len(pool):
        asked = " + ".join(f"{n} for {name}" for name, n in {**cut, "train": n_train}.items())
        raise DataError(f"{asked} is more than the {len(pool)} images there are to divide. Ask for fewer.")
    *parts, _ = split_by_group(labels[pool], ids[pool], (*cut.values(), len(pool) - sum(cut.values())), seed=seed)
    chosen |= {name: pool[part] for name, part in zip(cut, parts, strict=True)}
    held_out = [group for name in cut for group in ids[chosen[name]]]
    return chosen | {"train": take("train", pool[~np.isin(ids[pool], held_out)])}


def _images(items: list[Item], image_size: int, cache: Where | None) -> Tensor:
    """The pixels of the items, (N, 3, image_size, image_size), in memory or in a mapped file."""
    if cache is None:
        return torch.stack([cast(Tensor, item.pixels) for item in items])

    def fill(images: Tensor) -> None:
        todo = list(zip(images, items, strict=True))
        in_threads(lambda pair: pair[0].copy_(load_image(pair[1].path, image_size)), todo, "decoding images")

    key = hash_of(str(image_size), *(item.sha256 for item in items))
    shape = (len(items), 3, image_size, image_size)
    try:
        return mapped_tensor(Path(cache), "images", key, shape, torch.uint8, fill)
    except OSError as error:
        told = f"{os.fspath(cache)!r} cannot hold the decoded images ({error.strerror or error})"
        remedy = f"Free {torch.Size(shape).numel() / 1e6:,.1f} MB there, or give another folder"
        raise DataError(f"{told}. {remedy}.") from error


def _notes(
    found: Scan, usable: Cleaned, chosen: dict[str, np.ndarray], labels: np.ndarray, groups: GroupRule, look: bool
) -> Iterable[str]:
    if "train" in found.parts:
        train, spelled = found.called("train"), [part for part in found.parts if found.parts[part].name != part]
        said = "".join(f", {found.called(part)} is {part}" for part in spelled)
        if "test" in found.parts:
            cut = "" if "val" in found.parts else f"; val is cut from {train}"
            yield f"The division is the folder's own{said}{cut}."
        elif "val" in found.parts:
            yield f"There is no test folder: {found.called('val')} is the test split, and val is cut from {train}."
        else:
            yield f"There is only {train}: val and test are cut from it."
    if found.depth == 2:
        yield f"The classes are the folders inside the folders: {some(map(repr, usable.classes))}."
    level = (found.depth or 1) + ("" not in found.parts)
    if deeper := {item.label for item in usable.items if item.name.count("/") > level}:
        yield f"What lies in folders inside a class counts for the class: {some(map(repr, sorted(deeper)))}."
    for names in alike(usable.classes):
        yield f"Classes whose names look alike: {some(map(repr, names))}. Are they one?"
    for reason in usable.left_out:
        yield f"Left out: {reason}."
    yield from _remarks(usable.items)
    if twins := copies(usable.items):
        yield f"{number(len(twins), 'group')} of identical pictures, each kept on one side."
    if groups is not None:
        yield f"{number(len({*usable.ids.values()}), 'group')} of related files, each kept on one side."
    sides, crossing = {usable.items[i]: split for split, index in chosen.items() for i in index}, []
    for one, *others in near_copies([*sides]) if look else []:
        if other := next((item for item in others if sides[item] != sides[one]), None):
            crossing.append(f"{one.name!r} ({sides[one]}) ~ {other.name!r} ({sides[other]})")
    if crossing:
        yield f"{number(len(crossing), 'group')} of near copies on two sides flatter the score: {some(crossing)}."
    for split, index in chosen.items():
        if few := [usable.classes[k] for k, n in enumerate(np.bincount(labels[index])) if n == 1]:
            yield f"{split} has a single image of {some(map(repr, few))}: that says little."
    for told in passed_over(found.ignored):
        yield f"Ignored {told}."


def _remarks(items: list[Item]) -> list[str]:
    """What one should know of how the items were read, a sentence a remark."""
    noted = sorted((item for item in items if item.remark), key=lambda item: item.remark)
    told = [(same[0].remark, [repr(item.name) for item in same]) for same in by_key(noted, lambda item: item.remark)]
    return [f"{number(len(names), 'image')} {remark}: {some(names)}." for remark, names in told]


def _listed(texts: Iterable[str]) -> str:
    return "".join(f"\n- {text}." for text in texts)
