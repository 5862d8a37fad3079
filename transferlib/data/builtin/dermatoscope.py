"""A synthetic dermatoscope: skin lesions drawn from the signs by which dermatologists tell them apart.

One idea: a lesion is a table of sign strengths, a class is a distribution over such tables
(`CLASSES`, from signs.json), and one renderer draws any lesion from its signs. The classes
differ in numbers only. Colour is a little optics: melanin and blood take light away from a pale skin
(Beer-Lambert), and bluish haze and white keratin lie over it.

The signs and the classes they speak for follow

* Nachbar et al. 1994, The ABCD rule of dermatoscopy, J Am Acad Dermatol 30:551;
* Menzies et al. 2000, Surface microscopy of pigmented basal cell carcinoma, Arch Dermatol 136:1012;
* Braun et al. 2002, Dermoscopy of pigmented seborrheic keratosis, Arch Dermatol 138:1556;
* Argenziano et al. 2003, Dermoscopy of pigmented skin lesions: results of a consensus meeting
  via the Internet, J Am Acad Dermatol 48:679;
* Kittler et al. 2016, Standardization of terminology in dermoscopy, J Am Acad Dermatol 74:1093.

The strengths are chosen by eye; they are no medical statistics.
"""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Signs = dict[str, float]

# Range of each sign's strength, 0 none to about 1 strong. What falls below 0 counts as 0, so a range that
# starts there leaves the sign out of some lesions; a sign that is not named is out of all.
CLASSES: dict[str, dict[str, list[float]]] = json.loads(Path(__file__).with_name("signs.json").read_text("utf-8"))
ALL_SIGNS = tuple(dict.fromkeys(sign for ranges in CLASSES.values() for sign in ranges))

# What melanin and blood take from red, green and blue light, and the colours of what lies over them.
ABSORBED = np.array([[0.40, 0.66, 0.92], [0.10, 0.85, 0.66]], np.float32)
PALE, HAZE, KERATIN = np.array([[0.97, 0.87, 0.83], [0.55, 0.58, 0.66], [0.95, 0.90, 0.82]], np.float32)
HAIR = np.array([0.16, 0.11, 0.08], np.float32)
SPOTS = (("globules", 45, 0.065, 1.1), ("dots", 26, 0.035, 2.2), ("openings", 14, 0.075, 2.0))  # count, radius, melanin
REACH = 1.6  # A lesion is drawn on a square of ±1.6 of its mean radius.


@lru_cache(maxsize=64)
def _spline(n: int, knots: int) -> Array:
    """Cubic B-spline weights (n, knots + 3) that blow `knots` cells up to n pixels smoothly."""
    at = (np.arange(n) + 0.5) / n * knots
    d = np.abs(at[:, None] - np.arange(-1, knots + 2)[None])
    weights = np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.where(d < 2, (2 - d) ** 3 / 6, 0))
    return np.asarray(weights, np.float32)


def _noise(rng: Generator, n: int, knots: int) -> Array:
    """Smooth noise (n, n) of about unit variance with `knots` bumps across."""
    weights = _spline(n, knots)
    small = rng.standard_normal((knots + 3, knots + 3), np.float32)
    return np.asarray(2.1 * weights @ small @ weights.T, np.float32)


@lru_cache(maxsize=64)
def _axis(n: int, reach: float) -> Array:
    """Pixel centres from -reach to reach, (n,)."""
    return np.asarray(((np.arange(n) + 0.5) / n * 2 - 1) * reach, np.float32)


def _brush(n: int, reach: float, points: NDArray[np.float64], radius: NDArray[np.float64] | float) -> Array:
    """Soft-edged discs at points (m, 2), x and y from -reach to reach: coverage (n, n) from 0 to 1.

    Everything small is drawn with it: dots, cysts and nests; rows of discs are vessels, hairs and rulers.
    """
    if not len(points):  # most signs are absent from most lesions
        return np.zeros((n, n), np.float32)
    width = np.broadcast_to(np.maximum(radius, 1.3 * reach / n), len(points)).astype(np.float32)[:, None]
    x, y = (np.exp(-(((_axis(n, reach) - points[:, [i]]) / width) ** 2)).astype(np.float32) for i in (0, 1))
    return np.asarray(1 - np.exp(-1.6 * (y.T @ x) ** 2), np.float32)


def _cells(x: Array, y: Array, period: float) -> Array:
    """A honeycomb (three plane waves): 1 in the middle of its cells, 0 on the mesh."""
    k = np.float32(4 * np.pi / np.sqrt(3) / period)
    waves = sum(np.cos(k * (x * np.float32(np.cos(a)) + y * np.float32(np.sin(a)))) for a in np.pi / 3 * np.arange(3))
    return np.asarray(np.clip((waves + 1.5) / 3, 0, 1), np.float32)


def _tree(rng: Generator, most: int, share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (m, 2) and radii (m,) of three vessels that branch and thin: a share of `most` twigs and their width."""
    points, radii = np.empty((most, 22, 2)), np.empty((most, 22))
    ends = [(rng.uniform(-0.8, 0.8, 2), rng.uniform(0, 2 * np.pi), 0.04) for _ in range(3)]
    for twig in range(most):
        start, heading, radius = ends.pop(0)
        turns = heading + np.cumsum(rng.normal(0, 0.25, 22))
        points[twig] = line = start + 0.028 * np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1), 0)
        radii[twig] = np.linspace(radius, 0.75 * radius, 22)
        fork, bud = rng.uniform(0.3, 0.8), line[rng.integers(8, 22)]
        ends += [(line[-1], turns[-1] + fork, 0.72 * radius), (bud, turns[-1] - fork, 0.6 * radius)]
    count = round(most * min(share, 1.0))
    return points[:count].reshape(-1, 2), radii[:count].ravel() * (0.6 + 0.4 * share)


def _spots(
    rng: Generator, n: int, most: int, share: float, spread: float, shift: float, radii: tuple[float, float]
) -> Array:
    """Spots in a disc of radius `spread`, pushed aside by `shift`: coverage (n, n) by a share of `most`.

    All are drawn and the first painted, so that a stronger sign adds spots and moves nothing else.
    """
    turn, far, side = rng.uniform(0, 2 * np.pi, most), np.sqrt(rng.random(most)), rng.uniform(0, 2 * np.pi)
    points = np.stack([far * np.cos(turn) + shift * np.cos(side), far * np.sin(turn) + shift * np.sin(side)], 1)
    count = round(most * min(share, 1.0))
    return _brush(n, REACH, spread * points[:count], rng.uniform(*radii, most)[:count])


def draw_signs(name: str, rng: Generator) -> Signs:
    """A strength from 0 to about 1 for every sign, drawn from the class's ranges."""
    return {sign: max(0.0, rng.uniform(*CLASSES[name].get(sign, (0.0, 0.0)))) for sign in ALL_SIGNS}


def draw_lesion(signs: Signs, rng: Generator, n: int) -> Array:
    """The lesion on a square of n pixels: melanin, blood, haze and keratin, (4, n, n), from 0.

    The same state of `rng` draws the same lesion with whatever signs it is given.
    """
    s = signs
    y, x = np.meshgrid(_axis(n, REACH), _axis(n, REACH), indexing="ij")
    bend, fine = 0.06 + 0.08 * s["border"], _noise(rng, n, 22)
    x, y = x + bend * _noise(rng, n, 8), y + bend * _noise(rng, n, 8)

    # The outline: slow waves make it asymmetric, quick ones irregular, noise ragged.
    turn, wave = np.linspace(-np.pi, np.pi, 128), np.arange(1, 13)
    sway = np.where(wave < 4, 0.05 + 0.13 * s["asymmetry"], 0.05 * s["border"]) * rng.normal(0, 1, 12) / np.sqrt(wave)
    outline = 0.95 + sway @ np.cos(wave[:, None] * turn + rng.uniform(0, 2 * np.pi, (12, 1)))
    depth = np.interp(np.arctan2(y, x), turn, np.clip(outline, 0.3, 1.35)) - np.hypot(x, y)
    depth = depth + (0.02 + 0.07 * s["border"]) * _noise(rng, n, 24)
    inside = np.clip(0.5 + depth / (0.55 - 0.45 * s["sharpness"]), 0, 1)

    # The two pigments: in patches, and one side unlike the other.
    side = rng.uniform(0, 2 * np.pi)
    uneven = 0.7 * s["colours"] * _noise(rng, n, 5) + 0.5 * s["asymmetry"] * (x * np.cos(side) + y * np.sin(side))
    amount = 0.25 * (s["pigment"] > 0) + 1.8 * s["pigment"] ** 1.5
    melanin = amount * np.exp(np.clip(uneven + 0.18 * fine, -1.5, 1.0))
    blood = 1.5 * s["redness"] * (0.9 + 0.25 * _noise(rng, n, 6))

    # Structures of melanin: network, ridges, globules, dots, comedo-like openings.
    mesh = _cells(x + 0.03 * _noise(rng, n, 18), y + 0.03 * _noise(rng, n, 18), rng.uniform(0.12, 0.18))
    melanin = melanin * (1 + s["network"] * np.clip(0.7 + 0.5 * _noise(rng, n, 4), 0, 1) * (0.9 - 1.7 * mesh))
    furrows = np.clip(1 - 1.8 * np.abs(_noise(rng, n, 13)), 0, 1)
    melanin = melanin * (1 + s["ridges"] * (1.1 * furrows - 0.45))
    for sign, count, radius, dose in SPOTS:
        spots = _spots(rng, n, count, s[sign], 0.85, 0.5 * s["asymmetry"], (0.6 * radius, 1.4 * radius))
        melanin = melanin + dose * min(1.0, 2 * s[sign]) * spots

    # Structures of blood: arborising vessels, and lacunae between pale walls.
    vessels = min(1.0, 2.5 * s["vessels"]) * _brush(n, REACH, *_tree(rng, 27, s["vessels"]))
    lakes = np.clip(2.4 * _cells(x, y, rng.uniform(0.4, 0.65)) - 0.3, 0, 1)
    blood = blood * (1 + s["lacunae"] * (1.6 * lakes - 0.7)) + 1.6 * vessels

    # What lies over both: blue-white veil and blue-grey nests; milia-like cysts and scars.
    nests = min(1.0, 3 * s["nests"]) * _spots(rng, n, 9, s["nests"], 0.7, 0.5 * s["asymmetry"], (0.07, 0.2))
    veil = 0.7 * s["veil"] * np.clip(0.25 + 0.4 * _noise(rng, n, 5) + 0.08 * fine, 0, 1)
    cysts = min(0.9, 2 * s["cysts"]) * _spots(rng, n, 18, s["cysts"], 0.8, 0.0, (0.03, 0.08))
    scar = 0.6 * s["scar"] * np.clip(0.5 * _noise(rng, n, 5) + 0.08 * fine, 0, 1)
    melanin = melanin * (1 - 0.7 * scar) + 0.9 * nests
    layers = np.stack([melanin, blood, np.maximum(veil, 0.55 * nests), np.maximum(cysts, scar)])
    return np.asarray(np.maximum(layers, 0) * inside**2 * (3 - 2 * inside), np.float32)


def photograph(lesion: Array, size: float, tone: float, rng: Generator, n: int, rulers: float) -> NDArray[np.uint8]:
    """One photo (3, n, n) of a drawn lesion: a view, a light, and what gets in the way.

    size: of the lesion, 0 to 1. tone: of the skin, 0 palest to 1 darkest. rulers: chance of a
    ruler. The same state of `rng` gives the same photo but for the ruler, whatever that chance.
    """
    image = _clutter(_skin(_view(lesion, size, rng, n), tone, rng), rng, rulers)

    # The camera: slanting light, colour cast, round stop, vignette, blur, noise.
    y, x = np.meshgrid(_axis(n, 1), _axis(n, 1), indexing="ij")
    slope, fall = rng.normal(0, 0.07, 2), rng.uniform(0, 0.15)
    stop = rng.uniform(0.97, 1.35) if rng.random() < 0.25 else 3.0
    light = rng.uniform(0.85, 1.15) * (1 + slope[0] * x + slope[1] * y) * (1 - fall * (x * x + y * y))
    light = light * np.clip((stop - np.hypot(x, y)) / 0.08, 0.03, 1)
    image = image * light * rng.normal(1, 0.04, (3, 1, 1))
    blur = rng.uniform(0.15, 0.7) * n / 96
    image = ndimage.gaussian_filter(image, (0, blur, blur), truncate=3)
    image = image + rng.uniform(0.004, 0.02) * rng.standard_normal((3, n, n), np.float32)
    return np.asarray(np.clip(image, 0, 1) * 255 + 0.5, np.uint8)


def _view(lesion: Array, size: float, rng: Generator, n: int) -> Array:
    """The drawing turned, zoomed and shifted into the frame, (4, n, n)."""
    half = lesion.shape[-1] / 2
    zoom = (0.28 + 0.5 * size) * rng.uniform(0.85, 1.15) * n / 2 * REACH / half
    angle, centre = rng.uniform(0, 2 * np.pi), n / 2 * (1 + rng.uniform(-0.22, 0.22, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    offset = half - 0.5 - turn @ (centre - 0.5)
    return np.stack([ndimage.affine_transform(layer, turn, offset, (n, n), order=1) for layer in lesion])


def _skin(layers: Array, tone: float, rng: Generator) -> Array:
    """Colour (3, n, n) of mottled, lined skin with the lesion in it."""
    n = layers.shape[-1]
    melanin, blood, haze, keratin = layers
    lined = 1 + 0.07 * _noise(rng, n, 9) + 0.07 * np.abs(_noise(rng, n, 26))
    mottled = 1 + 0.25 * _noise(rng, n, 5) + 0.2 * _noise(rng, n, 22) + 0.3 * _noise(rng, n, 44)
    melanin = melanin + (0.05 + 2.1 * tone**1.8) * lined
    blood = blood + rng.uniform(0.04, 0.3) * np.clip(mottled, 0, 3)
    image = 0.02 + PALE[:, None, None] * np.exp(-np.tensordot(ABSORBED.T, np.stack([melanin, blood]), 1))
    for layer, colour in ((haze, HAZE), (keratin, KERATIN)):
        image = image + layer * ((1 - 0.35 * tone) * colour[:, None, None] - image)
    return np.asarray(image, np.float32)


def _clutter(image: Array, rng: Generator, rulers: float) -> Array:
    """The image with hair, bubbles in the gel and a ruler, each in some photos only."""
    n = image.shape[-1]
    along, strands = np.linspace(-1, 1, 3 * n // 2)[:, None], [np.zeros((0, 2))]
    for _ in range(rng.integers(1, 11) if rng.random() < 0.35 else 0):
        angle, bow, middle = rng.uniform(0, np.pi), rng.normal(0, 0.25), rng.uniform(-0.9, 0.9, 2)
        ahead, aside = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        strands.append(middle + along * rng.uniform(0.5, 1.3) * ahead + bow * along**2 * aside)
    hair = rng.uniform(0.6, 0.95) * _brush(n, 1, np.concatenate(strands), rng.uniform(0.007, 0.016))
    image = image + hair * (rng.uniform(0.5, 2.5) * HAIR[:, None, None] - image)

    points = rng.uniform(-1, 1, (rng.integers(1, 9) if rng.random() < 0.2 else 0, 2))
    radius = rng.uniform(0.03, 0.1, len(points))
    image = image + 0.7 * (_brush(n, 1, points, radius) - _brush(n, 1, points, 0.75 * radius)) * (1 - image)

    inset, start, gap, side = rng.uniform(0.82, 0.92), rng.uniform(-1, -0.9), rng.uniform(0.1, 0.16), rng.integers(4)
    if rng.random() < rulers:
        marks = np.arange(start, 1, gap)
        length = np.where(np.arange(len(marks)) % 5, 0.08, 0.16)[:, None] * np.linspace(0, 1, 14)
        points = np.stack([np.broadcast_to(marks[:, None], length.shape), inset - length], -1).reshape(-1, 2)
        image = image + np.rot90(_brush(n, 1, points, 0.016), int(side)) * (0.1 - image)
    return np.asarray(image, np.float32)
