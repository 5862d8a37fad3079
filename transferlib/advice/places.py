"""The flowchart as a measurement: what each strategy was worth on data like the reader's."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferlib import strategies
from transferlib.advice.similarity import Similarity
from transferlib.strategies import Strategy

Indices = NDArray[np.intp]
MAP_SIZE = 64
"""Side, in pixels, at which images are kept on the map; networks see them at SEEN. Data are compared so, too."""
Widths = tuple[float, float]
WIDTHS: Widths = (1.0, 0.02)
"""How far the word of a place on the map carries (a standard deviation): in doublings of the images a class, and in
the distance to the source, `Similarity.shift`. Round values near the best ones among `OTHER_WIDTHS` on this map."""
OTHER_WIDTHS = tuple(product((0.5, 1.0, 2.0), (0.01, 0.02, 0.04, 0.08)))
"""From which `leave_one_set_out` chooses, so that its answer is not one that was tuned on its question."""


def recipes(images: int, **options: Any) -> dict[str, Strategy]:
    """The strategies of the map for so many training images; the first keeps most of the network, the last nothing.

    Few images get more epochs, so that the number of steps is never tiny.
    """
    epochs = min(25, max(5, 800 // images))
    made = (
        strategies.feature_extraction(40, **options),
        strategies.progressive_unfreezing(epochs, **options),
        strategies.lp_ft(epochs, **options),
        strategies.fine_tuning(epochs, **options),
        strategies.from_scratch(4 * epochs, **options),
    )
    return {strategy.name: strategy for strategy in made}


@dataclass(frozen=True)
class Place:
    """What the map holds for one data set and one number of images: a mean over seeds, and accuracies by seed."""

    data: str
    similarity: Similarity
    accuracies: dict[str, tuple[float, ...]]

    @property
    def family(self) -> str:
        """What sets that are made of the same images have in common: "photos" for photographs in blocks, too."""
        return self.data.partition(",")[0]

    def gains(self, strategy: str) -> NDArray[np.float64]:
        """By how much a strategy was better than feature extraction, seed by seed."""
        return np.subtract(self.accuracies[strategy], self.accuracies["feature extraction"])

    def likeness(self, data: Similarity, widths: Widths = WIDTHS) -> float:
        """1 for as many images a class at the same distance to the source, towards 0 the more they differ."""
        doublings = math.log2(data.images_per_class / self.similarity.images_per_class) / widths[0]
        shifts = (data.shift - self.similarity.shift) / widths[1]
        return math.exp(-(doublings**2 + shifts**2) / 2)


@lru_cache
def load_map() -> tuple[Place, ...]:
    """The measured map that comes with the package; `make study-map` measures it."""
    told = json.loads(Path(__file__).with_name("map.json").read_text(encoding="utf-8"))
    return tuple(
        Place(place["data"], Similarity(**place["similarity"]), {n: tuple(a) for n, a in place["accuracies"].items()})
        for place in told["places"]
    )


@dataclass(frozen=True)
class Expected:
    """What a strategy is expected to gain over feature extraction, and the standard deviation of that on the map."""

    strategy: str
    gain: float
    spread: float


def expect(data: Similarity, places: Sequence[Place]) -> tuple[Expected, ...]:
    """Each strategy's gain: the mean over the map, each place weighed by its likeness (Nadaraya-Watson)."""
    weights = [max(place.likeness(data), 1e-12) for place in places]
    found = []
    for name in recipes(1):
        gains = [place.gains(name) for place in places]
        mean = float(np.average([np.mean(seeds) for seeds in gains], weights=weights))
        variance = np.average([np.mean((seeds - mean) ** 2) for seeds in gains], weights=weights)
        found.append(Expected(name, mean, math.sqrt(variance)))
    return tuple(found)


def choose(expected: Sequence[Expected]) -> Expected:
    """The one that is expected to gain most."""
    return max(expected, key=lambda row: row.gain)


@dataclass(frozen=True)
class Case:
    """What the advice would have been worth on a place whose images the map had not known.

    regret: by how much, in accuracy, the chosen strategy was worse than the best, each a mean over seeds.
    """

    place: Place
    chosen: str
    best: str
    regret: float


def leave_one_set_out(places: Sequence[Place]) -> tuple[Case, ...]:
    """Take each place's data set off the map, and all that are made of the same images, and ask what to do there.

    How far a place's word carries is chosen anew each time, by the same examination of the places that are left. A map
    of a single family has no case: nothing would be left to ask.
    """
    names, family = list(recipes(1)), np.array([place.family for place in places])
    means = np.array([[np.mean(place.accuracies[name]) for name in names] for place in places])
    lost = means.max(1, keepdims=True) - means
    asked_of = [place.similarity for place in places]
    like = {w: np.array([[place.likeness(data, w) for place in places] for data in asked_of]) for w in OTHER_WIDTHS}

    def advised(asked: Indices, told: Indices, widths: Widths) -> Indices:
        """For each place that is asked about, the strategy with the largest gain where the places told are known."""
        weights = np.maximum(like[widths][np.ix_(asked, told)], 1e-12)
        return np.asarray((weights @ (means[told] - means[told, :1])).argmax(1))

    def examined(known: Indices, widths: Widths) -> float:
        """The regret over the places that are known, each family taken off in turn."""
        halves = [(known[family[known] == f], known[family[known] != f]) for f in np.unique(family[known])]
        found = [lost[asked, advised(asked, told, widths)] for asked, told in halves if len(told)]
        return float(np.concatenate(found).mean()) if found else 0.0

    cases: dict[int, Case] = {}
    for name in np.unique(family):
        asked, told = (np.flatnonzero(family == name), np.flatnonzero(family != name))
        if len(told):
            widths = min(OTHER_WIDTHS, key=lambda w: (examined(told, w), w != WIDTHS))
            for i, chosen in zip(asked.tolist(), advised(asked, told, widths).tolist(), strict=True):
                cases[i] = Case(places[i], names[chosen], names[means[i].argmax()], float(lost[i, chosen]))
    return tuple(cases[i] for i in sorted(cases))
