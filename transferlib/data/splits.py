"""Labelled images or texts, divided so that no group of related ones is on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from transferlib.errors import DataError
from transferlib.files.room import lacking

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Images or texts, raw, with their labels and groups.

    inputs: uint8; images are (N, 3, H, W), texts are (N, W) bytes (see `encode`). labels: int64,
    (N,). groups: int64, (N,); inputs that share a group (one patient, one lesion, one photograph)
    belong on the same side of a split.
    """

    inputs: Tensor
    labels: Tensor
    groups: Tensor

    def __post_init__(self) -> None:
        n = len(self.inputs)
        is_image = self.inputs.ndim == 4 and self.inputs.shape[1] == 3
        if self.inputs.dtype != torch.uint8 or not (is_image or self.inputs.ndim == 2):
            remedy = "Stack your images and call .to(torch.uint8); make texts with encode()."
            raise DataError(f"images must be uint8 of shape (N, 3, H, W), not {_form(self.inputs)}. {remedy}")
        for name in ("labels", "groups"):
            value = getattr(self, name)
            if value.dtype != torch.int64 or value.shape != (n,):
                raise DataError(f"{name} must be int64 of shape ({n},) to match the inputs, not {_form(value)}.")

    @property
    def images(self) -> Tensor:
        """The inputs, (N, 3, H, W). Raises DataError where they are texts."""
        if self.inputs.ndim != 4:
            raise DataError("these are texts, not images: what you asked for is made for images only.")
        return self.inputs

    @property
    def texts(self) -> list[str]:
        """The inputs as strings. Raises DataError where they are images."""
        return decode(self.inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: Tensor | NDArray[np.int64] | slice) -> Split:
        return Split(self.inputs[index], self.labels[index], self.groups[index])

    @property
    def noun(self) -> str:
        """What is in it: "images" or "texts"."""
        return "texts" if self.inputs.ndim == 2 else "images"

    @property
    def kind(self) -> str:
        """The same with their size: "images of 64×64"."""
        return self.noun if self.inputs.ndim == 2 else f"images of {self.inputs.shape[2]}×{self.inputs.shape[3]}"

    def __repr__(self) -> str:
        return f"Split({len(self)} {self.kind})"


def encode(texts: Sequence[str]) -> Tensor:
    """UTF-8 bytes of each text, uint8 (N, W), filled up with zeros to the longest.

    Bytes are to a text what pixels are to an image: what a network makes of them belongs to
    the network. Raises DataError for a text that is empty or holds a zero byte, or is too long for all to fit.

    >>> encode(["ab", "é"]).tolist()
    [[97, 98], [195, 169]]
    """
    for number, text in enumerate(texts):
        if not text.strip() or "\0" in text:
            raise DataError(f"text {number} is {text!r}: it must hold words, and no zero byte. Leave it out.")
    written = [text.encode() for text in texts]
    if why := lacking(2 * len(written) * max(map(len, written), default=0)):
        longest = f"{max(texts, key=len)[:40]!r}… has {len(max(texts, key=len)):,} letters"
        raise DataError(f"{len(texts):,} texts, each kept as long as the longest, {why}. Shorten it: {longest}.")
    rows = np.array(written, dtype=np.bytes_)
    return torch.from_numpy(rows.view(np.uint8).reshape(len(texts), rows.itemsize).copy())


def decode(inputs: Tensor) -> list[str]:
    """What `encode` was given. Raises DataError for anything but uint8 of shape (N, W)."""
    if inputs.dtype != torch.uint8 or inputs.ndim != 2:
        raise DataError(f"texts must be uint8 of shape (N, W), not {_form(inputs)}: see encode().")
    return [bytes(row).rstrip(b"\0").decode() for row in inputs.cpu().numpy()]


def _form(tensor: Tensor) -> str:
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"


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
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        k = len(self.classes)
        if k < 2:
            raise DataError(f"{self.name}: a classifier needs at least two classes, found {k}: {list(self.classes)}.")
        for part in PARTS:
            labels = getattr(self, part).labels
            outside = labels[(labels < 0) | (labels >= k)]
            if len(outside):
                found = f"{part} has {len(outside)} labels outside 0…{k - 1}, the first is {int(outside[0])}"
                raise DataError(f"{self.name}: {found}. Number the classes from 0 in the order of `classes`.")
        if absent := sorted(set(range(k)) - set(self.train.labels.tolist())):
            named = ", ".join(repr(self.classes[index]) for index in absent[:3]) + ", …" * (len(absent) > 3)
            remedy = f"Give each class more, train on more (n_train={len(self.train)}), or leave these classes out."
            raise DataError(f"{self.name}: no example to train on of {len(absent)} of {k} classes: {named}. {remedy}")
        self.assert_no_leak()

    def assert_no_leak(self) -> None:
        """Raise DataError when a group has images in two of the three splits."""
        parts = {part: set(getattr(self, part).groups.tolist()) for part in PARTS}
        for one, other in combinations(PARTS, 2):
            if shared := parts[one] & parts[other]:
                found = f"{len(shared)} groups are in both {one} and {other} (for example group {min(shared)})"
                remedy = "Split by group: `split_by_group`."
                raise DataError(f"{self.name}: {found}, so the score would be flattered. {remedy}")

    def __repr__(self) -> str:
        origin = "synthetic, " if self.synthetic else ""
        kind = self.train.kind.removeprefix("images of ")
        sizes = f"train {len(self.train)}, val {len(self.val)}, test {len(self.test)}"
        return f"Splits({self.name!r}, {origin}{len(self.classes)} classes, {kind}: {sizes})"


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
        asked = ", ".join(map(str, sizes))
        raise DataError(f"cannot draw sets of {asked} images from {len(labels)}. Ask for fewer, and none below zero.")
    rng = np.random.default_rng(seed)
    classes, left = np.unique(labels, return_counts=True)
    names, which = np.unique(groups, return_inverse=True)
    side = np.full(len(names), -1)  # the set of each group, none yet
    quotas = []
    for size in sizes:
        quotas.append(_shares(left, size))
        left = left - quotas[-1]
    for column in np.argsort(sum(quotas), kind="stable"):  # the rarest first: it has the fewest groups to choose from
        images = np.bincount(which[labels == classes[column]], minlength=len(names))  # of this class in each group
        free = [group for group in rng.permutation(np.flatnonzero(images)).tolist() if side[group] < 0]
        for row, quota in enumerate(quotas):
            have = images[side == row].sum()
            waiting = sum(later[column] > 0 for later in quotas[row + 1 :])
            for group in tuple(free):
                if have >= quota[column] or len(free) <= waiting:
                    break
                if not have or have + images[group] <= quota[column]:
                    side[group] = row
                    free.remove(group)
                    have += images[group]
    return tuple(np.flatnonzero(side[which] == row) for row in range(len(sizes)))


def draw(labels: np.ndarray, groups: np.ndarray, rows: np.ndarray, n: int | None, *, seed: int) -> np.ndarray:
    """`n` of the rows, drawn as by `split_by_group`; None takes all of them."""
    return rows if n is None else rows[split_by_group(labels[rows], groups[rows], (n,), seed=seed)[0]]


def held_out_first(
    labels: ArrayLike, groups: ArrayLike, n_train: int | None, n_val: int, n_test: int, *, seed: int
) -> tuple[np.ndarray, ...]:
    """Index sets for train, val and test, of which the last two do not depend on n_train; None takes the rest."""
    labels, groups = np.asarray(labels), np.asarray(groups)
    val, test = split_by_group(labels, groups, (n_val, n_test), seed=seed)
    rest = np.setdiff1d(np.arange(len(labels)), np.concatenate((val, test)))
    return draw(labels, groups, rest, n_train, seed=seed), val, test


def _shares(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Whole numbers that add up to `size`, in the proportions of `counts`, none above it, none 0 if possible."""
    exact = counts / max(counts.sum(), 1) * size
    shares: NDArray[np.int64] = np.minimum(np.maximum(np.floor(exact).astype(int), size >= len(counts)), counts)
    while shares.sum() != size:
        missing = 1 if shares.sum() < size else -1
        allowed = shares < counts if missing > 0 else shares > 1
        shares[np.argmax(np.where(allowed, missing * (exact - shares), -np.inf))] += missing
    return shares


def resized(images: Tensor, image_size: int) -> Tensor:
    """(N, 3, h, w) of 0…255 as uint8 (N, 3, image_size, image_size), bilinear, antialiased."""
    out = torch.empty(len(images), 3, image_size, image_size, dtype=torch.uint8)
    # In pieces: floats take four times the memory.
    for piece, place in zip(torch.split(images, 256), torch.split(out, 256), strict=True):
        place[:] = interpolate(piece.float(), out.shape[2:], mode="bilinear", antialias=True).round().clamp(0, 255)
    return out
