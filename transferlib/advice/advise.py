"""Which strategy suits a reader's data, why, and what to expect."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torchvision.transforms.functional import resize

from transferlib.advice.places import MAP_SIZE, Expected, choose, expect, leave_one_set_out, load_map, recipes
from transferlib.advice.plan import duration, plan
from transferlib.advice.similarity import SEEN, Similarity, sample, similarity
from transferlib.data.splits import Splits
from transferlib.errors import TransferError
from transferlib.evidence.comparison import compare
from transferlib.features import extract_features
from transferlib.files.template import fill
from transferlib.model import TransferModel
from transferlib.probe import linear_probe
from transferlib.strategies import Strategy

ADVICE, REASONS = (Path(__file__).with_name(name) for name in ("advice.txt.jinja", "reasons.txt.jinja"))


@dataclass(frozen=True)
class Advice:
    """A recommended strategy, the network to train with it, what was measured and why.

    input_size: the side, in pixels, at which the network sees the images; None leaves them as they come.
    probe: accuracy on the reader's validation images of logistic regression on frozen features of the training images.
    ranges: for each strategy the accuracy to expect, lower and upper end: the probe's and what the map adds to it, one
    standard deviation each way. seconds: for each strategy, estimated from measured steps. nearest, likeness:
    the place on the map that is most like these data, and how much, from 0 to 1.
    """

    strategy: Strategy
    backbone: str
    input_size: int | None
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
        return fill(ADVICE, advice=self, duration=duration).rstrip()


def advise(splits: Splits, model: TransferModel | None = None, *, budget: float = math.inf) -> Advice:
    """Measure the training images, find them on the map, and recommend a strategy.

    model: the pretrained network that would be trained; the embedded one, with which the map was measured, if none
    is given; it sees small images at SEEN pixels, as on the map. budget: seconds; a strategy that would take longer is
    not recommended, except feature extraction, with which everything begins. The test split is not looked at. Raises
    DataError for fewer than 4 training images.

    The map says what to gain over feature extraction with one network, on images of 64 pixels that it saw at 128;
    whether it holds for other networks and larger images was not measured. Compare, where a point matters.
    """
    if not budget > 0:
        raise TransferError(f"budget must be above 0 seconds, not {budget}.")
    if splits.train.noun == "texts":
        first = "feature_extraction (`transferlib train`), then compare progressive_unfreezing with it: lesson 10"
        raise TransferError(f"{splits.name}: the map behind the advice is of images, not texts. Begin with {first}.")
    part, val, classes = sample(splits.train), sample(splits.val), len(splits.classes)
    enlarged = SEEN if min(part.images.shape[2:]) < SEEN else None
    model = model or TransferModel("efficientnet_lite0", classes, input_size=enlarged)
    ours, theirs = (extract_features(model, split.images) for split in (part, val))
    probe = float(linear_probe(ours, part.labels).score(theirs.numpy(), val.labels.numpy()))
    small = replace(part, inputs=resize(part.images, [MAP_SIZE, MAP_SIZE], antialias=True))
    data = replace(similarity(small, classes), images=len(splits.train))
    places = load_map()
    expected = expect(data, places)
    made = recipes(data.images)
    # from scratch, as on the map, a network of a size that few images can train
    seen = model.image_preprocess.input_size
    blank = TransferModel("small_cnn", model.num_classes, pretrained=False, input_size=seen)
    networks = {name: model if strategy.pretrained else blank for name, strategy in made.items()}
    seconds = {name: plan(networks[name], splits, strategy).seconds for name, strategy in made.items()}
    within = [row for row in expected if seconds[row.strategy] <= budget]
    chosen = choose(within or expected[:1])
    nearest = max(places, key=lambda place: place.likeness(data))
    quicker = [row for row in within if seconds[row.strategy] < seconds[chosen.strategy]]
    near = [row.strategy for row in quicker if row.gain > chosen.gain - 0.01]
    longer = [row.strategy for row in expected if row not in within and row is not chosen]
    facts: dict[str, Any] = {"seen": seen, "data": data, "probe": probe, "chosen": chosen, "nearest": nearest}
    facts |= {"compare": compare, "within": within, "near": near, "longer": longer, "blind": leave_one_set_out(places)}
    reasons = fill(REASONS, notes=model.preprocess.notes(part.images), **facts)
    return Advice(
        made[chosen.strategy],
        networks[chosen.strategy].backbone,
        seen,
        tuple(reasons.splitlines()),
        data,
        probe,
        {row.strategy: _range(probe, len(val), row) for row in expected},
        seconds,
        f"{nearest.data}, {nearest.similarity.images} images",
        nearest.likeness(data),
    )


def _range(probe: float, n_val: int, row: Expected) -> tuple[float, float]:
    """One standard deviation each way: of the probe, which few images were asked for, and of the gain on the map."""
    middle, width = probe + row.gain, math.sqrt(row.spread**2 + probe * (1 - probe) / n_val)
    return max(middle - width, 0.0), min(middle + width, 1.0)
