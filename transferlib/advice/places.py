"""The flowchart as a measurement: what each strategy was worth on data like the reader's."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transferlib import strategies
from transferlib.advice.similarity import Similarity
from transferlib.strategies import Strategy

MAP_SIZE = 64
"""Side, in pixels, at which images are kept on the map; networks see them at SEEN. Data are compared so, too."""
Widths = tuple[float, float]
"""How far the word of a place on the map carries (a standard deviation): in doublings of the images a class, and in
the distance to the source, `Similarity.shift`."""
WIDTHS: Widths = (1.0, 0.02)
"""Those of the package, near the best of `CANDIDATES` on this map."""
CANDIDATES: tuple[Widths, ...] = (WIDTHS, *product((0.5, 1.0, 2.0), (0.01, 0.02, 0.04, 0.08)))


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


STRATEGIES = tuple(recipes(1))


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

    @cached_property
    def moments(self) -> NDArray[np.float64]:
        """Of each strategy's gains the mean and the mean square: (2, strategies)."""
        gains = [self.gains(strategy) for strategy in STRATEGIES]
        return np.array([[np.mean(gain) for gain in gains], [np.mean(gain**2) for gain in gains]])

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


def expect(data: Similarity, places: Sequence[Place], widths: Widths = WIDTHS) -> tuple[Expected, ...]:
    """Each strategy's gain: the mean over the map, each place weighed by its likeness (Nadaraya-Watson)."""
    weights = np.array([max(place.likeness(data, widths), 1e-12) for place in places])
    mean, square = np.tensordot(weights / weights.sum(), [place.moments for place in places], 1)
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return tuple(map(Expected, STRATEGIES, mean.tolist(), spread.tolist()))


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


def leave_one_set_out(places: Sequence[Place], widths: Widths | None = None) -> tuple[Case, ...]:
    """Take each place's data set off the map, and all that are made of the same images, and ask what to do there.

    widths: how far a place's word carries; None chooses it anew each time, by the same examination of what is left,
    for an answer must not have been tuned on its question. A map of a single family has no case: nothing would be left
    to ask.
    """
    left = {place.family: [other for other in places if other.family != place.family] for place in places}
    carry = {family: widths or _fitted(others) for family, others in left.items()}
    return tuple(_ask(place, left[place.family], carry[place.family]) for place in places if left[place.family])


def _fitted(places: Sequence[Place]) -> Widths:
    """The candidate with the least regret on these places; the package's where nothing tells."""
    return min(CANDIDATES, key=lambda widths: sum(case.regret for case in leave_one_set_out(places, widths)))


def _ask(place: Place, others: Sequence[Place], widths: Widths) -> Case:
    """What the others would have said of a place, and what that would have cost."""
    chosen = choose(expect(place.similarity, others, widths)).strategy
    means = {name: float(np.mean(found)) for name, found in place.accuracies.items()}
    best = max(means, key=means.__getitem__)
    return Case(place, chosen, best, means[best] - means[chosen])
