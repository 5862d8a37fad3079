"""Labelled images, divided so that no group of related images is on two sides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from transferlib.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels and groups.

    images: uint8, (N, 3, H, W). labels: int64, (N,). groups: int64, (N,); images that share
    a group (one patient, one lesion, one photograph) belong on the same side of a split.
    """

    images: Tensor
    labels: Tensor
    groups: Tensor

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise DataError(
                f"images must be uint8 of shape (N, 3, H, W), not {self.images.dtype} of shape "
                f"{tuple(self.images.shape)}. Stack your images and call .to(torch.uint8)."
            )
        for name in ("labels", "groups"):
            value = getattr(self, name)
            if value.dtype != torch.int64 or value.shape != (n,):
                raise DataError(
                    f"{name} must be int64 of shape ({n},) to match the images, not "
                    f"{value.dtype} of shape {tuple(value.shape)}."
                )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor | slice) -> Split:
        return Split(self.images[index], self.labels[index], self.groups[index])

    def __repr__(self) -> str:
        height, width = self.images.shape[2:]
        return f"Split({len(self)} images of {height}×{width})"


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set: three splits, the names of its classes, and where it comes from.

    augment names the random changes that keep a label true here: "none" (digits: a mirrored
    2 is no 2), "flip" (photographs: left and right) or "dihedral" (microscope and
    dermatoscope: no side is up).
    """

    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    name: str
    augment: str = "flip"
    synthetic: bool = False
    credits: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        k = len(self.classes)
        if k < 2:
            raise DataError(f"{self.name}: a classifier needs at least two classes, found {k}: {list(self.classes)}.")
        for part in ("train", "val", "test"):
            labels = getattr(self, part).labels
            outside = labels[(labels < 0) | (labels >= k)]
            if len(outside):
                raise DataError(
                    f"{self.name}: {part} has {len(outside)} labels outside 0…{k - 1}, the first is "
                    f"{int(outside[0])}. Number the classes from 0 in the order of `classes`."
                )
        self.assert_no_leak()

    def assert_no_leak(self) -> None:
        """Raise DataError when a group has images in two of the three splits."""
        parts = {part: set(getattr(self, part).groups.tolist()) for part in ("train", "val", "test")}
        for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
            if shared := parts[one] & parts[other]:
                raise DataError(
                    f"{self.name}: {len(shared)} groups are in both {one} and {other} (for example group "
                    f"{min(shared)}), so the score would be flattered. Split by group: `split_by_group`."
                )

    def __repr__(self) -> str:
        height, width = self.train.images.shape[2:]
        kind = "synthetic, " if self.synthetic else ""
        return (
            f"Splits({self.name!r}, {kind}{len(self.classes)} classes, {height}×{width}: "
            f"train {len(self.train)}, val {len(self.val)}, test {len(self.test)})"
        )


def split_by_group(
    labels: ArrayLike, groups: ArrayLike, sizes: tuple[int, ...], *, seed: int
) -> tuple[np.ndarray, ...]:
    """Draw disjoint, stratified index sets that share no group.

    labels, groups: (N,) integers. sizes: how many images each set should hold; together at
    most N. A set has the class shares of the whole as nearly as whole groups allow, and at
    least one group of each class where there are enough groups and images. Groups of several
    images can make a set smaller than asked for. Returns one sorted index array a size.
    Raises DataError.

    >>> lesion = [0, 0, 1, 1, 2, 2, 3, 3]  # two photographs of each lesion
    >>> train, test = split_by_group([0, 0, 0, 0, 1, 1, 1, 1], lesion, (4, 4), seed=0)
    >>> set(np.take(lesion, train)) & set(np.take(lesion, test))
    set()
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    if min(sizes) < 0 or sum(sizes) > len(labels):
        raise DataError(
            f"cannot draw sets of {', '.join(map(str, sizes))} images from {len(labels)}. Ask for fewer, and none "
            "below zero."
        )
    rng = np.random.default_rng(seed)
    classes, left = np.unique(labels, return_counts=True)
    which = np.unique(groups, return_inverse=True)[1]
    side = np.full(which.max() + 1, -1) if len(which) else np.empty(0, int)
    quotas = []
    for size in sizes:
        quotas.append(_shares(left, size))
        left = left - quotas[-1]
    for column in np.argsort(sum(quotas), kind="stable"):  # the rarest first: it has the fewest groups to choose from
        own, images = np.unique(which[labels == classes[column]], return_counts=True)
        count = dict(zip(own.tolist(), images.tolist(), strict=True))
        free = [group for group in rng.permutation(own).tolist() if side[group] < 0]
        for row, quota in enumerate(quotas):
            have = int(images[side[own] == row].sum())
            waiting = sum(later[column] > 0 for later in quotas[row + 1 :])
            for group in tuple(free):
                if have >= quota[column] or len(free) <= waiting:
                    break
                if not have or have + count[group] <= quota[column]:
                    side[group] = row
                    free.remove(group)
                    have += count[group]
    return tuple(np.flatnonzero(side[which] == row) for row in range(len(sizes)))


def _shares(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Whole numbers that add up to `size`, in the proportions of `counts`, none above it, none 0 if possible."""
    exact = counts / max(counts.sum(), 1) * size
    shares: NDArray[np.int64] = np.minimum(np.maximum(np.floor(exact).astype(int), size >= len(counts)), counts)
    while shares.sum() != size:
        missing = 1 if shares.sum() < size else -1
        allowed = shares < counts if missing > 0 else shares > 1
        shares[np.argmax(np.where(allowed, missing * (exact - shares), -np.inf))] += missing
    return shares
