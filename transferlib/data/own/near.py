"""Near copies: photographs that were saved again, resized, brightened or slightly cropped.

Two steps. A perceptual hash of 64 bits (the pHash of Zauner, "Implementation and Benchmarking of Perceptual Image
Hash Functions", 2010) proposes pairs. Then the fine structure of the two thumbnails must agree: the hash alone takes
one dark spot on bright skin for another.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet
from scipy.fft import dct
from scipy.ndimage import uniform_filter1d

from transferlib.data.own.images import THUMB
from transferlib.data.own.names import by_key
from transferlib.data.own.scan import Item
from transferlib.files.waiting import each

DISTANCE = 11  # of 64 bits. Of copies with 4 % cut off, nine in ten differ in 14 or fewer; unrelated ones in some 32.
CLOSEST = 32  # partners of one hash among those after it
AGREEMENT = 0.75  # On 2,359 dermatoscopic images, all pairs above were the same lesion; the first wrong one had 0.715.
TURNED = 0.9  # the same for copies that were turned or mirrored: there are seven ways in which to agree by chance
DETAIL = 1.5  # grey levels: the fine structure of a blank page is its compression noise, and stays below
CROPS = (0.02, 0.04, 0.06, 0.08, 0.1)  # shares of the side that may have been cut off, half on each side

_CHUNK = 2048  # thumbnails, or pairs of them, looked at together: 8 MB an array

Floats = NDArray[np.float32]
Bits = NDArray[np.uint64]


def _crop(share: float) -> Floats:
    """Cut `share` off, half at each end, and stretch the rest (linear): (32, 32), to be applied from both sides."""
    at = np.arange(THUMB) * (1 - share) + share * (THUMB - 1) / 2
    return np.stack([np.interp(at, np.arange(THUMB), pixel) for pixel in np.eye(THUMB)], axis=1).astype(np.float32)


# Matrices: what a filter makes of each single pixel. They are applied to a thumbnail from both sides.
_COSINES = dct(np.eye(THUMB), axis=0)[1:9].astype(np.float32)  # slow waves but the constant one: brightness drops out
_BLUR = uniform_filter1d(np.eye(THUMB, dtype=np.float32), 7, axis=0, mode="nearest")  # mean over 7, the border repeated
_CROPPED = [_crop(share) for share in CROPS]


def perceptual_hash(thumbs: NDArray[np.uint8]) -> Bits:
    """Thumbnails (N, 32, 32) as N numbers of 64 bits: which of the 64 slowest waves are above their median."""
    hashes = []
    for chunk in np.array_split(thumbs, len(thumbs) // _CHUNK + 1):
        waves = (_COSINES @ chunk.astype(np.float32) @ _COSINES.T).reshape(-1, 64)
        above = waves > np.median(waves, axis=1, keepdims=True)
        hashes.append(np.packbits(above, axis=1).view(np.uint64).ravel())
    return np.concatenate(hashes)


def close_pairs(hashes: Bits, others: Bits | None = None) -> NDArray[np.int64]:
    """All pairs (P, 2) of hashes (N,) that differ in at most 11 of 64 bits, each once, the closest first.

    others: those of the same pictures as each is compared with those before it; None: the same.

    All are compared with all: 100,000 hashes take some seconds. In a crowd each is paired with the 32 closest of
    those after it only: memory stays proportional to N.
    """
    found, others = [np.empty((0, 2), np.int64)], hashes if others is None else others
    for i in each(range(len(hashes)), "looking for near copies"):
        differing = np.bitwise_count(others[i + 1 :] ^ hashes[i])
        near = np.flatnonzero(differing <= DISTANCE)
        near = near[np.argsort(differing[near], kind="stable")[:CLOSEST]]
        found.append(np.column_stack([np.full_like(near, i), i + 1 + near]))
    pairs = np.concatenate(found)
    differing = np.bitwise_count(hashes[pairs[:, 0]] ^ others[pairs[:, 1]])
    return pairs[np.argsort(differing, kind="stable")]


def near_copies(items: Sequence[Item]) -> list[list[Item]]:
    """Groups of readable items that look alike by their thumbnails; those of the same pixels come along, not alone.

    A suspicion, to be looked at: a group may be two photographs of one thing. Copies may be mirrored or turned by
    quarters. Missed are those turned a little, cut unevenly or by more than about 5 %, and pictures without structure:
    they have nothing to compare.
    """
    files = by_key(items, lambda item: item.same)
    thumbs = np.array([copies[0].thumb for copies in files], np.uint8).reshape(-1, THUMB, THUMB)
    detailed = np.array([i for i, thumb in enumerate(thumbs) if _fine(thumb).std() >= DETAIL], np.int64)
    hashes, alike = perceptual_hash(thumbs[detailed]), DisjointSet(range(len(files)))
    for turn, turned in enumerate(np.rot90(t, k, (1, 2)) for t in (thumbs, thumbs[..., ::-1]) for k in range(4)):
        pairs = detailed[close_pairs(hashes, perceptual_hash(turned[detailed]))]
        for chunk in np.array_split(pairs, len(pairs) // _CHUNK + 1):
            new = chunk[np.array([not alike.connected(i, j) for i, j in chunk.tolist()], bool)]
            for i, j in new[agree(thumbs[new[:, 0]], turned[new[:, 1]], turn > 0)].tolist():
                alike.merge(i, j)
    return [[item for i in sorted(group) for item in files[i]] for group in alike.subsets() if len(group) > 1]


def agree(one: NDArray[np.uint8], other: NDArray[np.uint8], turned: bool = False) -> NDArray[np.bool_]:
    """Whether thumbnails (N, 32, 32) show the same fine structure, cropped a little perhaps, or turned: N answers."""
    whole, whole_other = _structure(one), _structure(other)
    found = _correlation(whole, whole_other)
    for crop in () if turned else _CROPPED:
        todo = np.flatnonzero(found < AGREEMENT)
        either = _correlation(_structure(crop @ one[todo] @ crop.T), whole_other[todo])
        found[todo] = np.maximum(either, _correlation(whole[todo], _structure(crop @ other[todo] @ crop.T)))
    return np.asarray(found >= (TURNED if turned else AGREEMENT))


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
