"""Data sets of other libraries: torch's Dataset, torchvision's ImageFolder, a split of Hugging Face's datasets."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from transferlib.data.own.clean import related
from transferlib.data.own.folder import divide
from transferlib.data.own.images import check_size, digest, prepared
from transferlib.data.splits import PARTS, Split, Splits
from transferlib.errors import DataError
from transferlib.files.room import check_room


def dataset(
    n_train: int | None = None,
    *,
    data: Any,
    val: Any = None,
    test: Any = None,
    image_size: int = 224,
    n_val: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    columns: tuple[str, str] = ("image", "label"),
    groups: Callable[[Any], Hashable] | None = None,
    name: str | None = None,
    augment: str = "flip",
) -> Splits:
    """Take over what `data[i]` gives for each i below `len(data)`: (image, label), or a row with these columns.

    An image is Pillow's, or a tensor or array: uint8, or float in [0, 1], (3, H, W) or (H, W, 3). It is turned
    upright, made RGB, cut to its central square and resized. val, test: data sets of the same kind; what is not
    given is cut from `data`, as in `folder` (val alone is the test split).
    classes: their names; None takes those that the data set knows.
    groups: from an item to the id of what belongs together; images with the same pixels always do.
    Raises DataError that names the item.
    """
    check_size(image_size)
    parts = {part: items for part, items in zip(PARTS, (data, val, test), strict=True) if items is not None}
    check_room(image_size, sum(map(len, parts.values())))
    names = tuple(classes or _classes(data, columns[1]))
    told = name or type(data).__name__
    rows: dict[str, np.ndarray] = {}
    images: list[Tensor] = []
    labels: list[int] = []
    keys: list[tuple[Hashable, ...]] = []
    places: list[str] = []
    for part, items in parts.items():
        rows[part] = np.arange(len(images), len(images) + len(items))
        for index in range(len(items)):
            where = f"{told}, {part}[{index}]"
            item = items[index]
            image, label = (item[column] for column in (columns if isinstance(item, Mapping) else (0, 1)))
            pixels, same = _pixels(image, image_size, where)
            if not 0 <= int(label) < len(names):
                raise DataError(f"{where} has label {label}, but there are {len(names)} classes: {', '.join(names)}.")
            images.append(pixels)
            labels.append(int(label))
            keys.append((("same", same), ("id", groups(item) if groups else same)))
            places.append(where)
    if not images:
        raise DataError(f"{told} is empty: give a data set with an item or more.")
    first: dict[Hashable, int] = {}
    for index, (key, label) in enumerate(zip(keys, labels, strict=True)):
        if labels[one := first.setdefault(key[0], index)] != label:
            found = f"{places[one]} and {places[index]} have the same pixels"
            raise DataError(f"{found}, but the labels {names[labels[one]]!r} and {names[label]!r}. Decide on one.")
    chosen = divide(rows, np.array(labels), (ids := np.array(related(keys))), (n_train, n_val, n_test), seed)
    whole = Split(torch.stack(images), torch.tensor(labels), torch.from_numpy(ids))
    train, val_split, test_split = (whole[chosen[part]] for part in PARTS)
    return Splits(train, val_split, test_split, names, told, augment)


def _classes(data: Any, label: str) -> Sequence[str]:
    """The names that torchvision's data sets, Hugging Face's features and what a Subset is of know, else numbers."""
    while data is not None:
        if names := getattr(data, "classes", None):
            return [str(name) for name in names]
        if names := getattr((getattr(data, "features", None) or {}).get(label), "names", None):
            return [str(name) for name in names]
        data = getattr(data, "dataset", None)
    raise DataError("the data set does not name its classes: give them, classes=[…], in the order of their labels.")


def _pixels(image: Any, image_size: int, where: str) -> tuple[Tensor, str]:
    """uint8, (3, image_size, image_size), and a digest of all pixels of the image."""
    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        if np.issubdtype(array.dtype, np.floating):
            if array.size and not 0 <= array.min() <= array.max() <= 1:
                found = f"{where} has values from {array.min():.3g} to {array.max():.3g}, not in [0, 1]"
                raise DataError(f"{found}: take Normalize out of its transforms; a network brings its own.")
            array = np.rint(array * 255).astype(np.uint8)
        if array.ndim == 3 and array.shape[0] == 3:
            array = array.transpose(1, 2, 0)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise DataError(f"{where} is no image: {array.dtype} of shape {array.shape}, not uint8 (3, H, W).")
        image = Image.fromarray(np.ascontiguousarray(array))
    image.load()  # whole, or it would be shrunk in place, for whoever else uses it
    upright, pixels = prepared(image, image_size, name=where)
    return pixels, digest(upright)
