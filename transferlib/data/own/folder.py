"""A reader's own folder of photographs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from transferlib.data.own.clean import (
    Cleaned,
    GroupRule,
    clean,
    conflicts,
    copies,
    group_ids,
    number,
    some,
    some_pairs,
)
from transferlib.data.own.images import load_image
from transferlib.data.own.scan import Item, Scan, scan
from transferlib.data.splits import Split, Splits, split_by_group
from transferlib.errors import DataError
from transferlib.files.tensors import hash_of, mapped_tensor

SHARE = 0.2
AT_ONCE = 512  # decoded images that wait for their place in a file


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
    cache: str | os.PathLike[str] | None = None,
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
    All images are decoded before any is chosen, so memory must hold them: 3 · image_size² bytes each. cache: a
    folder for the decoded images of each split instead, memory-mapped files that are found again by the hashes of
    the photographs; memory then holds what is in use. Raises DataError.
    """
    found = scan(path, image_size=image_size if cache is None else None)
    usable = clean(found, groups)
    if usable.fatal:
        left_out = f" Before that, left out:{_listed(usable.left_out)}" if found.items and usable.left_out else ""
        raise DataError(usable.fatal + left_out)
    _report(path, usable.left_out, on_bad)
    column = {name: k for k, name in enumerate(usable.classes)}
    labels = np.array([column[item.label] for item in usable.items])
    ids = np.array(usable.groups)
    rows = {part: np.flatnonzero([item.part == part for item in usable.items]) for part in found.parts}
    chosen = divide(rows, labels, ids, (n_train, n_val, n_test), seed)
    for split, index in chosen.items():
        if missing := [usable.classes[k] for k in range(len(usable.classes)) if k not in labels[index]]:
            raise DataError(
                f"{os.fspath(path)!r}: {split} got no image of {some([repr(name) for name in missing])}. "
                f"Ask for more than n_{split}={len(index)}, or try another seed."
            )
    train, val, test = (
        Split(_images([usable.items[i] for i in index], image_size, cache), *_integers(labels[index], ids[index]))
        for index in (chosen[split] for split in ("train", "val", "test"))
    )
    name = found.root.resolve().name
    return Splits(train, val, test, usable.classes, name, augment, notes=tuple(_notes(found, usable, chosen, labels)))


def labelled_split(
    path: str | os.PathLike[str],
    classes: tuple[str, ...],
    *,
    image_size: int,
    on_bad: Literal["error", "skip"] = "error",
) -> Split:
    """Load the held-out images of a folder, to score a model that knows `classes`, in their order.

    Held out is test/, else val/, with or without train/ beside it; a folder without such parts is read whole, with a
    warning that images the model was trained on flatter it. on_bad as in `folder`, for broken files and identical
    files with two labels. Raises DataError.
    """
    found = scan(path, image_size=image_size, train=False)
    part = next(name for name in ("test", "val", "train", "") if name in found.parts)
    here = [item for item in found.items if item.part == part]
    usable = [item for item in here if not item.error]
    doubtful = conflicts(usable)
    left_out = (
        [f"{number(len(bad), 'file')} that cannot be read: {some(bad)}"]
        if (bad := [item.error for item in here if item.error])
        else []
    )
    if doubtful:
        left_out.append(f"{number(len(doubtful), 'group')} of identical files with two labels: {some_pairs(doubtful)}")
        drop = {item for group in doubtful for item in group}
        usable = [item for item in usable if item not in drop]
    _report(path, left_out, on_bad)
    if part in ("train", ""):
        warnings.warn(
            f"{os.fspath(path)!r} has no test/ or val/: all its {len(usable)} images are scored. If the model was "
            "trained on some of them, the score is flattered.",
            UserWarning,
            stacklevel=2,
        )
    if strange := sorted({item.label for item in usable} - set(classes)):
        raise DataError(
            f"{os.fspath(path)!r} has classes that the model does not know: {some([repr(name) for name in strange])}. "
            f"It knows {', '.join(classes)}."
        )
    if not usable:
        raise DataError(f"{os.fspath(path)!r} holds no image that can be used.")
    labels = torch.tensor([classes.index(item.label) for item in usable])
    images = torch.stack([cast(Tensor, item.pixels) for item in usable])
    return Split(images, labels, torch.tensor(group_ids(usable)))


def _report(path: str | os.PathLike[str], left_out: Iterable[str], on_bad: str) -> None:
    """Refuse what cannot be used, or warn that it is left out."""
    if on_bad not in ("error", "skip"):
        raise DataError(f'on_bad must be "error" or "skip", not {on_bad!r}.')
    left_out = list(left_out)
    if left_out and on_bad == "error":
        raise DataError(
            f"{os.fspath(path)!r} cannot be used as it is:{_listed(left_out)}\n"
            'Repair or remove these, or load with on_bad="skip" to leave them out (--on-bad skip in the terminal). '
            "See all of them: transferlib data check."
        )
    for reason in left_out:
        warnings.warn(f"{os.fspath(path)!r}: left out {reason}.", UserWarning, stacklevel=3)


def divide(
    rows: dict[str, np.ndarray],
    labels: np.ndarray,
    ids: np.ndarray,
    sizes: tuple[int | None, int | None, int | None],
    seed: int,
) -> dict[str, np.ndarray]:
    """The indices of train, val and test. rows: those of each part that is given."""
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
    *parts, _ = draw(pool, *cut.values(), len(pool) - sum(cut.values()))
    chosen.update(zip(cut, parts, strict=True))
    held_out = np.concatenate([ids[index] for index in parts]) if parts else np.array([])
    chosen["train"] = take("n_train", n_train, pool[~np.isin(ids[pool], held_out)])
    return chosen


def _integers(*arrays: np.ndarray) -> Iterable[Tensor]:
    return (torch.from_numpy(array).long() for array in arrays)


def _images(items: list[Item], image_size: int, cache: str | os.PathLike[str] | None) -> Tensor:
    """The pixels of the items, (N, 3, image_size, image_size), in memory or in a mapped file."""
    if cache is None:
        return torch.stack([cast(Tensor, item.pixels) for item in items])

    def fill(images: Tensor) -> None:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, len(items), AT_ONCE):
                several = items[start : start + AT_ONCE]
                decoded = pool.map(lambda item: load_image(item.path, image_size), several)
                for i, pixels in enumerate(decoded, start=start):
                    images[i] = pixels

    key = hash_of(str(image_size), *(item.sha256 for item in items))
    shape = (len(items), 3, image_size, image_size)
    try:
        return mapped_tensor(Path(cache), "images", key, shape, torch.uint8, fill)
    except OSError as error:
        raise DataError(
            f"{os.fspath(cache)!r} cannot hold the decoded images ({error.strerror or error}). Free "
            f"{torch.Size(shape).numel() / 1e6:,.0f} MB there, or give another folder."
        ) from error


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
