"""Which strategy suits a reader's data, why, and what to expect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torchvision.transforms.functional import resize

from transferlib.advice.places import MAP_SIZE, Expected, Place, choose, expect, load_map, recipes
from transferlib.advice.plan import duration, plan
from transferlib.advice.similarity import Similarity, sample, similarity
from transferlib.data.splits import Split, Splits
from transferlib.errors import TransferError
from transferlib.evidence.comparison import compare
from transferlib.features import extract_features
from transferlib.model import TransferModel
from transferlib.probe import linear_probe
from transferlib.strategies import Strategy


@dataclass(frozen=True)
class Advice:
    """A recommended strategy, the network to train with it, what was measured and why.

    probe: accuracy on the reader's validation images of logistic regression on frozen features of the training images.
    ranges: for each strategy the accuracy to expect, lower and upper end: the probe's and what the map adds to it, one
    standard deviation each way. seconds: for each strategy, estimated from measured steps. nearest, likeness:
    the place on the map that is most like these data, and how much, from 0 to 1.
    """

    strategy: Strategy
    backbone: str
    reasons: tuple[str, ...]
    similarity: Similarity
    probe: float
    ranges: dict[str, tuple[float, float]]
    seconds: dict[str, float]
    nearest: str
    likeness: float

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"recommended: {self.strategy.name}, {self.strategy.epochs} epochs"]
        lines += [f"- {reason}" for reason in self.reasons]
        lines += ["", f"{'':24}expected accuracy (two in three cases)   time"]
        for name, (low, high) in self.ranges.items():
            lines.append(
                f"{name:24}{low:7.2f} to {high:.2f}                          about {duration(self.seconds[name])}"
            )
        return "\n".join(lines)


def advise(splits: Splits, model: TransferModel | None = None, *, budget: float = math.inf) -> Advice:
    """Measure the training images, find them on the map, and recommend a strategy.

    model: the pretrained network that would be trained; the embedded one, with which the map was measured, if none
    is given. budget: seconds; a strategy that would take longer is not recommended, except feature extraction,
    with which everything begins. The test split is not looked at. Raises DataError for fewer than 4 training images.

    The map says what to gain over feature extraction at 64 pixels with one network; whether it holds for other
    networks and larger images was not measured. Compare, where a point matters.
    """
    if not budget > 0:
        raise TransferError(f"budget must be above 0 seconds, not {budget}.")
    model = model or TransferModel("efficientnet_lite0", len(splits.classes))
    part, val, classes = sample(splits.train), sample(splits.val), len(splits.classes)
    probe = _probe(part, val, model)
    small = replace(part, inputs=resize(part.images, [MAP_SIZE, MAP_SIZE], antialias=True))
    data = replace(similarity(small, classes), images=len(splits.train))
    places = load_map()
    expected = expect(data, places)
    made = recipes(data.images)
    networks = {name: _network(model, strategy) for name, strategy in made.items()}
    seconds = {name: plan(networks[name], splits, strategy).seconds for name, strategy in made.items()}
    within = [row for row in expected if seconds[row.strategy] <= budget]
    chosen = choose(within or expected[:1])
    nearest = max(places, key=lambda place: place.likeness(data))
    return Advice(
        made[chosen.strategy],
        networks[chosen.strategy].backbone,
        _reasons(data, probe, expected, seconds, within, chosen, nearest),
        data,
        probe,
        {row.strategy: _range(probe, len(val), row) for row in expected},
        seconds,
        f"{nearest.data}, {nearest.similarity.images} images",
        nearest.likeness(data),
    )


def _network(model: TransferModel, strategy: Strategy) -> TransferModel:
    """What a strategy trains; from scratch, as on the map, a network of a size that few images can train."""
    if strategy.pretrained:
        return model
    return TransferModel("small_cnn", model.num_classes, pretrained=False)


def _range(probe: float, n_val: int, row: Expected) -> tuple[float, float]:
    """One standard deviation each way: of the probe, which few images were asked for, and of the gain on the map."""
    middle, width = probe + row.gain, math.sqrt(row.spread**2 + probe * (1 - probe) / n_val)
    return max(middle - width, 0.0), min(middle + width, 1.0)


def _reasons(
    data: Similarity,
    probe: float,
    expected: Sequence[Expected],
    seconds: dict[str, float],
    within: Sequence[Expected],
    chosen: Expected,
    nearest: Place,
) -> tuple[str, ...]:
    told = [
        f"{data.images} training images in {data.classes} classes, about {data.images_per_class:.0f} a class.",
        f"On frozen features alone, logistic regression names {probe:.0%} of the validation images correctly.",
        f"Averages inside the network differ by {data.shift:.2f} standard deviations from those of the photographs it "
        f"was trained on. Most like this on the map: {nearest.data} ({nearest.similarity.shift:.2f}) with "
        f"{nearest.similarity.images_per_class:.0f} images a class.",
    ]
    if chosen.gain > 0:
        there = compare(100 * nearest.gains(chosen.strategy))
        told.append(f"In that part of the map {chosen.strategy} gained {100 * chosen.gain:.1f} points over them.")
        told.append(f"At the nearest place, seed by seed: {there:.1f}.")
    else:
        told.append("In that part of the map nothing that costs more was better.")
    quicker = [row for row in within if seconds[row.strategy] < seconds[chosen.strategy]]
    if near := [row.strategy for row in quicker if row.gain > chosen.gain - 0.01]:
        told.append(f"Quicker, and expected to be less than a point behind: {', '.join(near)}.")
    if longer := [row.strategy for row in expected if row not in within and row is not chosen]:
        told.append(f"Left out, because they would take longer than the budget: {', '.join(longer)}.")
    if chosen not in within:
        told.append(f"Even {chosen.strategy} would take longer than the budget.")
    if nearest.likeness(data) < 0.1:
        told.append("Nothing on the map is much like these data: take this as a first guess, and compare.")
    return tuple(told)


def _probe(train: Split, val: Split, model: TransferModel) -> float:
    """Validation accuracy of logistic regression on frozen features."""
    ours, theirs = (extract_features(model, split.images) for split in (train, val))
    return float(linear_probe(ours, train.labels).score(theirs.numpy(), val.labels.numpy()))
