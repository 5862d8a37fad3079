"""Near copies: photographs that were saved again, resized, brightened or slightly cropped.

Two steps. A perceptual hash of 64 bits (the pHash of Zauner, "Implementation and Benchmarking of Perceptual Image
Hash Functions", 2010) proposes pairs; they are found without comparing all with all, by multi-index hashing (Norouzi,
Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012). Then the fine structure of the
two thumbnails must agree: the hash alone takes one dark spot on bright skin for another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferlib.data.own.clean import Joined
from transferlib.data.own.images import THUMB
from transferlib.data.own.scan import Item

DISTANCE = 11  # of 64 bits. Of copies with 4 % cut off, nine in ten differ in 14 or fewer; unrelated ones in some 32.
AGREEMENT = 0.75  # On 2,359 dermatoscopic images, all pairs above were the same lesion; the first wrong one had 0.715.
DETAIL = 1.5  # grey levels: the fine structure of a blank page is its compression noise, and stays below
CROPS = (0.02, 0.04, 0.06, 0.08, 0.1)  # shares of the side that may have been cut off, half on each side

_BAND, _BANDS = 16, 4
_BUDGET = 2048  # comparisons a hash and band, a hit counting as 256: a crowd is linked all the same, in linear time
_HIT, _STEP = 256, 16
_CHUNK = 2048  # pairs of thumbnails compared at once: 8 MB an array

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bits = NDArray[np.uint64]


def _cosines() -> Floats:
    """The first rows of the discrete cosine transform but the constant one, (8, 32): brightness drops out."""
    rows, columns = np.arange(1, 9)[:, None], np.arange(THUMB)[None]
    return np.cos(np.pi * rows * (2 * columns + 1) / (2 * THUMB)).astype(np.float32)


def _blur() -> Floats:
    """The mean over 7 neighbours, the border repeated: (32, 32), to be applied from both sides."""
    matrix = np.zeros((THUMB, THUMB), np.float32)
    for row in range(THUMB):
        for column in range(row - 3, row + 4):
            matrix[row, min(max(column, 0), THUMB - 1)] += 1 / 7
    return matrix


def _crop(share: float) -> Floats:
    """Cut `share` off, half at each end, and stretch the rest (linear): (32, 32), to be applied from both sides."""
    at = (np.arange(THUMB) + 0.5) * (1 - share) + share * THUMB / 2 - 0.5
    low = np.floor(at).astype(int)
    matrix = np.zeros((THUMB, THUMB), np.float32)
    for row in range(THUMB):
        for column, weight in ((low[row], 1 - at[row] + low[row]), (low[row] + 1, at[row] - low[row])):
            matrix[row, min(max(column, 0), THUMB - 1)] += weight
    return matrix


_COSINES, _BLUR = _cosines(), _blur()
_CROPPED = [_crop(share) for share in CROPS]


def perceptual_hash(thumbs: NDArray[np.uint8]) -> Bits:
    """Thumbnails (N, 32, 32) as N numbers of 64 bits: which of the 64 slowest waves are above their median."""
    hashes = [np.empty(0, np.uint64)]
    for start in range(0, len(thumbs), _CHUNK):
        waves = (_COSINES @ thumbs[start : start + _CHUNK].astype(np.float32) @ _COSINES.T).reshape(-1, 64)
        above = waves > np.median(waves, axis=1, keepdims=True)
        hashes.append(np.packbits(above, axis=1).view(np.uint64).ravel())
    return np.concatenate(hashes)


def close_pairs(hashes: Bits) -> Ints:
    """All pairs (P, 2) of different hashes (N,) that differ in at most 11 of 64 bits, each once, the closest first.

    If 11 bits differ, then at most 2 of them in one of the four bands of 16: so two hashes need comparing only if
    a band of one, with 0, 1 or 2 bits turned, is a band of the other. In a crowd of hashes that share a band each is
    compared with some 2,000 only, and paired with 16: time and memory stay proportional to N.
    """
    flips = [0, *(1 << i for i in range(_BAND)), *(1 << i | 1 << j for i in range(_BAND) for j in range(i))]
    found = [np.empty(0, np.int64)]
    for band in range(_BANDS):
        keys = ((hashes >> np.uint64(_BAND * band)) & np.uint64((1 << _BAND) - 1)).astype(np.int64)
        order = np.lexsort((hashes, keys))
        keys = keys[order]
        start = np.searchsorted(keys, np.arange((1 << _BAND) + 1))
        place = np.arange(len(hashes))
        budget = np.full(len(hashes), _BUDGET)
        for flip in flips:
            other = keys ^ flip
            low = start[other] if flip else place + 1
            high = np.where(keys <= other, start[other + 1], 0)  # each pair of buckets once
            while True:
                count = np.clip(high - low, 0, np.clip(budget, 0, _STEP))
                left = np.repeat(place, count)
                if not len(left):
                    break
                right = np.arange(len(left)) + np.repeat(low - np.cumsum(count) + count, count)
                pair = np.stack([order[left], order[right]], axis=1)
                near = _differing(hashes, pair) <= DISTANCE
                found.append(pair[near].min(1) * len(hashes) + pair[near].max(1))
                budget -= count + _HIT * np.bincount(left[near], minlength=len(budget))
                low = low + count
    pairs = np.stack(np.divmod(np.unique(np.concatenate(found)), max(1, len(hashes))), axis=1)
    return np.asarray(pairs[np.argsort(_differing(hashes, pairs), kind="stable")])


def near_copies(items: Sequence[Item]) -> list[list[Item]]:
    """Groups of readable items with thumbnails that look alike but are not one file; their exact copies come along.

    A suspicion, to be looked at: a group may be two photographs of one thing. Missed are copies that were turned,
    mirrored, cut unevenly or by more than about 5 %, and pictures without structure: they have nothing to compare.
    """
    same: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        same[item.sha256].append(item)
    files = list(same.values())
    thumbs = np.array([group[0].thumb for group in files], np.uint8).reshape(-1, THUMB, THUMB)
    groups: dict[int, list[Item]] = defaultdict(list)
    for i, top in enumerate(_linked(thumbs)):
        groups[top] += files[i]
    return [group for group in groups.values() if len({item.sha256 for item in group}) > 1]


def _linked(thumbs: NDArray[np.uint8]) -> list[int]:
    """For each thumbnail (N, 32, 32) the index of the first one that it looks like, directly or through others."""
    detailed = np.array([i for i, thumb in enumerate(thumbs) if _fine(thumb).std() >= DETAIL], np.int64)
    joined = Joined(len(thumbs))
    hashes, first, which = np.unique(perceptual_hash(thumbs[detailed]), return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")  # of files with one hash, each is compared with the next
    same = np.stack([order[:-1], order[1:]], axis=1)[which[order[:-1]] == which[order[1:]]]
    pairs = detailed[np.concatenate([same, first[close_pairs(hashes)]])]
    for start in range(0, len(pairs), _CHUNK):
        new = [(i, j) for i, j in pairs[start : start + _CHUNK].tolist() if joined.top(i) != joined.top(j)]
        chunk = np.array(new, np.int64)
        if not len(chunk):
            continue
        for i, j in chunk[agree(thumbs[chunk[:, 0]], thumbs[chunk[:, 1]])].tolist():
            joined.join(i, j)
    return joined.tops()


def agree(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether thumbnails (N, 32, 32) show the same fine structure, perhaps slightly cropped: N answers."""
    whole, whole_other = _structure(one), _structure(other)
    found = _correlation(whole, whole_other)
    for crop in _CROPPED:
        todo = np.flatnonzero(found < AGREEMENT)
        for best in (
            _correlation(_structure(crop @ one[todo] @ crop.T), whole_other[todo]),
            _correlation(whole[todo], _structure(crop @ other[todo] @ crop.T)),
        ):
            found[todo] = np.maximum(found[todo], best)
    return np.asarray(found >= AGREEMENT)


def _fine(thumbs: NDArray[Any]) -> Floats:
    """Thumbnails less their blurred copy."""
    grey = thumbs.astype(np.float32)
    return np.asarray(grey - _BLUR @ grey @ _BLUR.T, np.float32)


def _structure(thumbs: NDArray[Any]) -> Floats:
    """The fine structure at the same strength everywhere, or a dark frame would outweigh the picture in it."""
    fine = _fine(thumbs)
    around = np.sqrt(_BLUR @ (fine * fine) @ _BLUR.T)
    return np.asarray(fine / (around + 4), np.float32)  # 4 grey levels: noise in flat parts is not blown up


def _correlation(one: Floats, other: Floats) -> Floats:
    one = one - one.mean((1, 2), keepdims=True)
    other = other - other.mean((1, 2), keepdims=True)
    size = np.sqrt((one * one).sum((1, 2)) * (other * other).sum((1, 2)))
    return np.asarray((one * other).sum((1, 2)) / np.maximum(size, 1e-6), np.float32)


def _differing(hashes: Bits, pairs: Ints) -> NDArray[np.uint8]:
    return np.asarray(np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]), np.uint8)
