"""A reader's own folder of photographs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from transferlib.data.clean import Cleaned, GroupRule, clean, copies, number, some
from transferlib.data.scan import Scan, scan
from transferlib.data.splits import Split, Splits, split_by_group
from transferlib.errors import DataError

SHARE = 0.2


def folder(
    path: str | os.PathLike[str],
    *,
    image_size: int = 224,
    n_train: int | None = None,
    n_val: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    groups: GroupRule = None,
    on_bad: Literal["error", "skip"] = "error",
    augment: str = "flip",
) -> Splits:
    """Load `<path>/<class>/*.jpg`, or the same below `train/`, `val/` (or `valid/`, `validation/`) and `test/`.

    What is not given is cut from the training folder, stratified and by group: a fifth for the test, a fifth for
    validation, the rest for training. With train/ and val/ alone, val/ is the test split and validation is cut
    from train/. n_val and n_test draw that many instead (in whole groups, so perhaps a few more or fewer), and
    n_train draws from what remains: for one seed, val and test are the same whatever n_train is.

    groups: what belongs together besides identical files, which always do: a function from a file's path to an
    id, or a regular expression whose first group is the id in the file's name, such as r"^(patient\\d+)".
    on_bad: "error" refuses a folder with broken files, identical files with two labels, related files on two
    sides of a given division, or classes too small to be in every split; "skip" leaves them out, warns and notes it.
    Returns Splits of uint8 images (N, 3, image_size, image_size) with `notes` on everything left out or ignored.
    All images are decoded before any is chosen, so memory must hold them: 3 · image_size² bytes each.
    Raises DataError.
    """
    if on_bad not in ("error", "skip"):
        raise DataError(f'on_bad must be "error" or "skip", not {on_bad!r}.')
    found = scan(path, image_size=image_size, keep=True)
    usable = clean(found, groups)
    if usable.fatal:
        left_out = f" Before that, left out:{_listed(usable.left_out)}" if found.items and usable.left_out else ""
        raise DataError(usable.fatal + left_out)
    if usable.left_out and on_bad == "error":
        raise DataError(
            f"{os.fspath(path)!r} cannot be used as it is:{_listed(usable.left_out)}\n"
            'Repair or remove these, or load with on_bad="skip" to leave them out. See all: check_folder(path).'
        )
    for reason in usable.left_out:
        warnings.warn(f"{os.fspath(path)!r}: left out {reason}.", UserWarning, stacklevel=2)

    column = {name: k for k, name in enumerate(usable.classes)}
    labels = np.array([column[item.label] for item in usable.items])
    ids = np.array(usable.groups)
    rows = {part: np.flatnonzero([item.part == part for item in usable.items]) for part in found.parts}
    chosen = _choose(rows, labels, ids, (n_train, n_val, n_test), seed)
    for split, index in chosen.items():
        if missing := [usable.classes[k] for k in range(len(usable.classes)) if k not in labels[index]]:
            raise DataError(
                f"{os.fspath(path)!r}: {split} got no image of {some([repr(name) for name in missing])}. "
                f"Ask for more than n_{split}={len(index)}, or try another seed."
            )
    train, val, test = (_split(usable, labels, ids, chosen[split]) for split in ("train", "val", "test"))
    name = found.root.resolve().name
    return Splits(train, val, test, usable.classes, name, augment, notes=tuple(_notes(found, usable, chosen, labels)))


def _choose(
    rows: dict[str, np.ndarray],
    labels: np.ndarray,
    ids: np.ndarray,
    sizes: tuple[int | None, int | None, int | None],
    seed: int,
) -> dict[str, np.ndarray]:
    """The indices of train, val and test. rows: the indices in each part of the folder."""
    n_train, n_val, n_test = sizes
    k = len(np.unique(labels))
    for name, n in zip(("n_train", "n_val", "n_test"), sizes, strict=True):
        if n is not None and n < k:
            raise DataError(f"{name}={n} is fewer than the {k} classes. Ask for at least one image of each.")

    def draw(index: np.ndarray, *ns: int) -> tuple[np.ndarray, ...]:
        return tuple(index[part] for part in split_by_group(labels[index], ids[index], ns, seed=seed))

    def take(name: str, n: int | None, index: np.ndarray) -> np.ndarray:
        if n is not None and n > len(index):
            raise DataError(f"{name}={n} is more than the {len(index)} images there are for it. Ask for fewer.")
        return index if n is None else draw(index, n)[0]

    pool = rows["train" if "train" in rows else ""]
    chosen: dict[str, np.ndarray] = {}
    if "test" in rows and "val" in rows:
        chosen["val"] = take("n_val", n_val, rows["val"])
    if "test" in rows or "val" in rows:
        chosen["test"] = take("n_test", n_test, rows["test" if "test" in rows else "val"])
    wanted = {"test": n_test, "val": n_val}
    cut = {name: n or max(k, round(SHARE * len(pool))) for name, n in wanted.items() if name not in chosen}
    if sum(cut.values()) + (n_train or k) > len(pool):
        asked = " + ".join(f"{n} for {name}" for name, n in {**cut, "train": n_train or k}.items())
        raise DataError(f"{asked} is more than the {len(pool)} images there are to divide. Ask for fewer.")
    side = np.full(len(pool), len(cut))  # of each image of the pool: which cut it is in; the last is what remains
    for i, index in enumerate(draw(pool, *cut.values()) if cut else ()):
        side[np.isin(ids[pool], ids[index])] = i  # by whole groups, also where one spans classes
    _spread(side, labels[pool], ids[pool], len(cut) + 1)
    chosen.update({name: pool[side == i] for i, name in enumerate(cut)})
    rest = pool[side == len(cut)]
    chosen["train"] = take("n_train", n_train, rest)
    return chosen


def _spread(side: np.ndarray, labels: np.ndarray, ids: np.ndarray, sides: int) -> None:
    """Give each side a group of each class. Small classes of unequal groups may have missed one; changes `side`."""
    for label in np.unique(labels):
        for missing in range(sides):
            held = [np.unique(ids[(labels == label) & (side == i)]) for i in range(sides)]
            donor = max(held, key=len)
            if not len(held[missing]) and len(donor) > 1:
                smallest = min(donor, key=lambda group: np.count_nonzero(ids == group))
                side[ids == smallest] = missing


def _split(usable: Cleaned, labels: np.ndarray, ids: np.ndarray, index: np.ndarray) -> Split:
    images = torch.stack([cast(Tensor, usable.items[i].pixels) for i in index])
    return Split(images, torch.from_numpy(labels[index]).long(), torch.from_numpy(ids[index]).long())


def _notes(found: Scan, usable: Cleaned, chosen: dict[str, np.ndarray], labels: np.ndarray) -> Iterable[str]:
    if "train" in found.parts:
        train = found.called("train")
        if "test" in found.parts:
            cut = "" if "val" in found.parts else f"; val is cut from {train}"
            yield f"The division is the folder's own{cut}."
        elif "val" in found.parts:
            yield f"There is no test folder: {found.called('val')} is the test split, and val is cut from {train}."
        else:
            yield f"There is only {train}: val and test are cut from it."
    for reason in usable.left_out:
        yield f"Left out: {reason}."
    if twins := copies(usable.items):
        yield f"{number(len(twins), 'group')} of identical files, each kept on one side."
    for split, index in chosen.items():
        if few := [usable.classes[k] for k, n in enumerate(np.bincount(labels[index])) if n == 1]:
            yield f"{split} has a single image of {some([repr(name) for name in few])}: its score says little."
    reasons = sorted({reason for _, reason in found.ignored})
    for reason in reasons:
        names = [repr(name) for name, why in found.ignored if why == reason]
        yield f"Ignored {number(len(names), 'entry', 'entries')} ({reason}): {some(names)}."


def _listed(texts: Iterable[str]) -> str:
    return "".join(f"\n- {text}." for text in texts)
