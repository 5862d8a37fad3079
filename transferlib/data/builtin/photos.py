"""Patches of real photographs that are already on the disk: those in the scikit-image and scikit-learn packages."""

import math
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from transferlib.data.builtin.originals import CREDITS, photograph
from transferlib.data.splits import Split, Splits
from transferlib.errors import DataError

CLASSES = tuple(CREDITS)

ROLES = 3  # train, val, test
CELLS = 12  # about how many regions a photograph is divided into
MARGIN = 0.03  # of a cell's side, left unused along every edge
SCALE = (0.4, 0.7)  # side of a patch / short side of its cell; below 1/√2, so every rotation fits
FLAT = 10.0  # a patch with a smaller standard deviation (of 0…255) is drawn again
TRIES = 16

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the photograph


def photos(
    n_train: int = 160, *, image_size: int = 96, seed: int = 0, n_val: int = 160, n_test: int = 512, color: bool = False
) -> Splits:
    """Say which of 16 photographs a small patch was cut from: a cat, a cup of coffee, gravel, a retina …

    Each photograph is divided into a chequerboard of cells; every cell belongs to train, val or
    test (the same for every seed), and a patch never leaves its cell. `groups` holds the cell.
    Scale, rotation, brightness, contrast and noise are random. Patches are grey, repeated on
    three channels, unless `color`: colour alone would give most answers away. Flat patches
    (sky, a wall) are drawn again, at most 16 times; then the least flat one is kept.

    Classes are balanced (image i has label i mod 16), and images come in a fixed order: a smaller
    n gives the first n images of a larger one. Deterministic by seed.

    Returns uint8 images of (n, 3, image_size, image_size). Raises DataError when a photograph is
    missing from the installed packages or is not the expected one.
    """
    if n_train < len(CLASSES) or min(n_val, n_test) < 1:
        least = f"at least {len(CLASSES)} images to train on, one a class, and one each for val and test"
        raise DataError(f"photos: n_train={n_train}, n_val={n_val}, n_test={n_test} is too few. Ask for {least}.")
    if not 16 <= image_size <= 512:
        raise DataError(f"photos: image_size={image_size} is outside 16…512 pixels. Choose for example 96.")
    if seed < 0:
        raise DataError(f"photos: seed={seed} is negative. Choose 0 or more.")
    train, val, test = (_split(role, n, image_size, seed, color) for role, n in enumerate((n_train, n_val, n_test)))
    sources = [f"{name}: {photo.credit} ({Path(photo.file).name})" for name, photo in CREDITS.items()]
    credit = "\n".join(["Patches cut, rotated and relit from:", *sources])
    note = "Each class is one photograph: a high score means that its texture is known again, not its kind."
    return Splits(train, val, test, CLASSES, "photos", augment="dihedral", credits=credit, notes=(note,))


def _split(role: int, n: int, image_size: int, seed: int, color: bool) -> Split:
    images = np.empty((n, 3, image_size, image_size), dtype=np.uint8)
    groups = np.empty(n, dtype=np.int64)
    for label, name in enumerate(CLASSES):
        rng = np.random.default_rng((seed, role, label))
        photo, cells = _scaled(name, color, image_size)
        own = [number for number, (owner, _) in enumerate(cells) if owner == role]
        boxes = [cells[number][1] for number in own]
        for row in range(label, n, len(CLASSES)):
            patch, cell = _textured(photo, boxes, image_size, rng)
            images[row] = _relight(patch, rng)
            groups[row] = label * 100 + own[cell]
    return Split(torch.from_numpy(images), torch.arange(n) % len(CLASSES), torch.from_numpy(groups))


def _cells(width: int, height: int) -> list[tuple[int, Box]]:
    """(role, box) of each cell, row by row; the roles run along diagonals."""
    rows = max(2, round(math.sqrt(CELLS * height / width)))
    columns = max(ROLES, round(CELLS / rows))
    w, h = width / columns, height / rows
    inset = MARGIN * min(w, h)
    cells = []
    for row, column in product(range(rows), range(columns)):
        box = (column * w + inset, row * h + inset, (column + 1) * w - inset, (row + 1) * h - inset)
        cells.append(((row + column) % ROLES, box))
    return cells


def _textured(photo: Image.Image, boxes: list[Box], size: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """A patch that is not flat, and the index of its box; the least flat one of TRIES where there is none."""
    tries = []
    for _ in range(TRIES):
        cell = int(rng.integers(len(boxes)))
        patch = _cut(photo, boxes[cell], size, rng)
        tries.append((patch, cell))
        if patch.std() >= FLAT:
            break
    return max(tries, key=lambda tried: float(tried[0].std()))


def _cut(photo: Image.Image, box: Box, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square of random side, angle and place that lies inside the box, as (size, size[, 3]) uint8."""
    left, top, right, bottom = box
    side = rng.uniform(*SCALE) * min(right - left, bottom - top)
    angle = rng.uniform(0, 2 * math.pi)
    reach = side / 2 * (abs(math.cos(angle)) + abs(math.sin(angle)))
    x, y = rng.uniform(left + reach, right - reach), rng.uniform(top + reach, bottom - reach)
    c, s, half = side / size * math.cos(angle), side / size * math.sin(angle), size / 2
    matrix = (c, -s, x - half * (c - s), s, c, y - half * (s + c))
    return np.asarray(photo.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))


def _relight(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random contrast, brightness and noise; returns (3, H, W) uint8."""
    mean = float(patch.mean())
    gain, shift, noise = rng.uniform(0.6, 1.6), rng.uniform(-40, 40), rng.uniform(0, 12)
    light = (patch - mean) * gain + np.clip(mean + shift, 40, 215)
    light = light + noise * rng.standard_normal(patch.shape, dtype=np.float32)
    image = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    return image.transpose(2, 0, 1) if image.ndim == 3 else np.broadcast_to(image, (3, *image.shape))


@lru_cache(maxsize=64)
def _scaled(name: str, color: bool, image_size: int) -> tuple[Image.Image, list[tuple[int, Box]]]:
    """The photograph and its cells, shrunk so that no patch has to be shrunk by more than a fifth."""
    photo = photograph(name, color)
    _, (left, top, right, bottom) = _cells(*photo.size)[0]
    shrink = 1.2 * image_size / (SCALE[1] * min(right - left, bottom - top))
    if shrink < 1:
        width, height = (round(side * shrink) for side in photo.size)
        photo = photo.resize((width, height), Image.Resampling.LANCZOS)
    return photo, _cells(*photo.size)
