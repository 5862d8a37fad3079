"""The data set of synthetic skin lesions: which lesions are drawn for which split, and the knobs."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from transferlib.data.builtin.dermatoscope import CLASSES, draw_lesion, draw_signs, photograph
from transferlib.data.splits import Split, Splits
from transferlib.errors import DataError

RULERS = 0.15  # Share of photos with a ruler where no shortcut was asked for.


def lesions(
    n_train: int = 160,
    *,
    image_size: int = 96,
    seed: int = 0,
    n_val: int = 160,
    n_test: int = 512,
    photos_per_lesion: int = 2,
    imbalance: Mapping[str, float] | None = None,
    label_noise: float = 0.0,
    shortcut: float = 0.0,
    skin_tone: tuple[float, float] = (0.0, 1.0),
) -> Splits:
    """Photos of synthetic skin lesions in three splits: uint8, (N, 3, image_size, image_size).

    n_train, n_val, n_test: photos, not lesions. Asking for more keeps the first ones as they are.
    photos_per_lesion: views of one lesion; they share its group and follow each other.
    imbalance: how common a class is beside the others, which count 1; {"melanoma": 0.1} makes it
    a tenth as common, in all splits. Every class keeps at least one lesion.
    label_noise: share of the training lesions that carry a wrong label.
    shortcut: 0, rulers say nothing about the class; 1, in train and val every melanoma has a ruler
    and nothing else has. Test photos never change, and in the others only the rulers do
    (seen in real photos: Narla et al. 2018, J Invest Dermatol 138:2108).
    skin_tone: palest and darkest skin among the patients, from 0 to 1.

    Raises DataError for a knob out of its range.
    """
    shares = dict.fromkeys(CLASSES, 1.0) | dict(imbalance or {})
    k, least, problem = len(CLASSES), min(n_train, n_val, n_test), ""
    need = (k - 1) * photos_per_lesion + 1
    if image_size < 32:
        problem = f"image_size={image_size} is too small to show a lesion. Ask for 32 or more."
    elif seed < 0:
        problem = f"seed={seed} is negative. Use 0, 1, 2, …"
    elif photos_per_lesion < 1:
        problem = f"photos_per_lesion={photos_per_lesion} must be at least 1."
    elif least < need:
        problem = f"a split of {least} photos, {photos_per_lesion} of each lesion, cannot hold all {k} classes. "
        problem += f"Ask for at least {need} photos in each split, or for fewer photos_per_lesion."
    elif unknown := sorted(set(shares) - set(CLASSES)):
        problem = f"imbalance names unknown classes: {unknown}. Choose from {list(CLASSES)}."
    elif not all(0 < share < np.inf for share in shares.values()):
        problem = f"imbalance={imbalance} must hold positive numbers. "
        problem += "To make a class rare use a small one, such as 0.01."
    elif not 0 <= label_noise <= 1:
        problem = f"label_noise={label_noise} is a share of the lesions. Use 0 to 1."
    elif not 0 <= shortcut <= 1:
        problem = f"shortcut={shortcut} is a probability. Use 0 (no shortcut) to 1 (perfect shortcut)."
    elif len(skin_tone) != 2 or not 0 <= skin_tone[0] <= skin_tone[1] <= 1:
        problem = f"skin_tone={skin_tone} must be (palest, darkest) from 0 to 1, such as (0.0, 1.0)."
    if problem:
        raise DataError(f"lesions: {problem}")

    parts = []
    for part, count in enumerate((n_train, n_val, n_test)):
        labels = _labels(-(-count // photos_per_lesion), np.array(list(shares.values())))
        images = np.empty((count, 3, image_size, image_size), np.uint8)
        for photo in range(count):
            lesion, view = divmod(photo, photos_per_lesion)
            name = list(CLASSES)[labels[lesion]]
            if view == 0:
                rng = _rng(seed, part, lesion)
                signs, tone = draw_signs(name, rng), rng.uniform(*skin_tone)
                drawing = draw_lesion(signs, rng, 3 * image_size // 2)
            rng = _rng(seed, part, lesion, view + 1)
            rulers = RULERS if part == 2 else RULERS * (1 - shortcut) + shortcut * (name == "melanoma")
            images[photo] = photograph(drawing, signs["size"], tone, rng, image_size, rulers)
        if part == 0:
            rng = _rng(seed, 3)
            wrong = rng.permutation(len(labels))[: round(label_noise * len(labels))]
            labels[wrong] = (labels[wrong] + rng.integers(1, k, len(wrong))) % k
        lesion_of = np.arange(count) // photos_per_lesion
        parts.append(Split(*map(torch.from_numpy, (images, labels[lesion_of], 3 * lesion_of + part))))
    train, val, test = parts
    credit = "Synthetic: drawn by transferlib. No patients, no photographs; not for diagnosis."
    return Splits(train, val, test, tuple(CLASSES), "lesions", augment="dihedral", synthetic=True, credits=credit)


def _rng(*numbers: int) -> Generator:
    """The random numbers of one lesion or photo, on their own so that none shifts another's."""
    return Generator(PCG64(SeedSequence(numbers)))


def _labels(count: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Class of each of `count` lesions: one of each, then always the class that lags its share most."""
    labels = np.arange(count, dtype=np.int64)
    for i in range(len(shares), count):
        have = np.bincount(labels[:i], minlength=len(shares))
        labels[i] = np.argmax(shares / shares.sum() * (i + 1) - have)
    return labels
