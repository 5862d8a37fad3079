"""How good a model is, over a whole split, with intervals."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from torch import Tensor

from transferlib.data.splits import Split
from transferlib.engine.memory import evaluated
from transferlib.errors import DataError
from transferlib.files.waiting import waiting
from transferlib.model import TransferModel

Array = NDArray[Any]
DRAWS = 200  # of the bootstrap
FEW = 400  # images of a class, up to which comparing all with all is quicker than sorting
CELLS = 1 << 23  # compared at once


def predict(model: TransferModel, inputs: Tensor, batch_size: int = 32) -> Tensor:
    """Probabilities, float (N, num_classes), of raw inputs: images, uint8 (N, 3, H, W), or texts, uint8 (N, W).

    The model is in evaluation mode meanwhile and afterwards as it was.

    >>> import transferlib as tl
    >>> images = tl.load_data("digits", 20, image_size=32, n_val=10, n_test=10).test.images
    >>> tl.predict(tl.TransferModel("small_cnn", 10, pretrained=False), images).shape
    torch.Size([10, 10])
    """
    return evaluated(model, model, torch.as_tensor(inputs), batch_size).softmax(1)  # arrays too


def _accuracy(labels: Array, scores: Array, weights: Array) -> Array:
    """The share of right answers."""
    right = scores.argmax(1) == labels
    return np.asarray(weights @ right / weights.sum(1))


def _balanced_accuracy(labels: Array, scores: Array, weights: Array) -> Array:
    """The mean of each class's share of right answers, over the classes that are there."""
    images = _by_class(labels, weights)
    found = _by_class(labels, weights * (scores.argmax(1) == labels))
    return _mean_of_shares(found, images)


def _auroc(labels: Array, scores: Array, weights: Array) -> Array:
    """The mean, over the classes that are there, of one class against the rest; nan for a single class.

    For one class it is the share of pairs, an image of it and another one, in which the first one's score is
    higher, ties counting half (Hanley and McNeil 1982).
    """
    present, images = np.unique(labels, return_counts=True)
    below = np.zeros_like(weights)  # of each image, the weight of the others that are below it
    columns = np.ascontiguousarray(scores.T)
    rare = np.flatnonzero(np.isin(labels, present[images <= FEW]))
    for rows in np.array_split(rare, -(-len(rare) * len(labels) // CELLS) or 1):
        column, own = columns[labels[rows]], scores[rows, labels[rows]][:, None]
        wins = (column < own) + 0.5 * (column == own)
        wins[labels[rows][:, None] == labels] = 0
        below[:, rows] = weights @ wins.T
    for label in present[images > FEW]:  # sorted, or time would grow with the square of the images
        column, other = columns[label], np.flatnonzero(labels != label)
        other = other[np.argsort(column[other])]
        summed = np.pad(weights[:, other].cumsum(1), ((0, 0), (1, 0)))
        ends = (np.searchsorted(column[other], column[labels == label], side) for side in ("left", "right"))
        below[:, labels == label] = sum(summed[:, end] for end in ends) / 2
    mine = _by_class(labels, weights)
    found, pairs = _by_class(labels, weights * below), mine * (weights.sum(1, keepdims=True) - mine)
    if scores.shape[1] == 2:  # the other class says the same
        found, pairs = found[:, -1:], pairs[:, -1:]
    return _mean_of_shares(found, pairs)


def _by_class(labels: Array, table: Array) -> Array:
    """(D, N) summed over the images of each class that is there."""
    order = np.argsort(labels, kind="stable")
    starts = np.unique(labels[order], return_index=True)[1]
    return np.asarray(np.add.reduceat(table[:, order], starts, axis=1))


def _mean_of_shares(part: Array, whole: Array) -> Array:
    """The mean of part / whole over the columns in which there is a whole; nan where there is none."""
    there = whole > 0
    shares = np.divide(part, whole, out=np.zeros(part.shape), where=there)
    return np.where(there.any(1), shares.sum(1) / np.maximum(there.sum(1), 1), np.nan)


METRICS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "auroc": _auroc,
}
"""Each figure, (D,), of labels, (N,), scores, (N, K), and D weightings of the images, (D, N): a row of ones gives the
figure of the split, how often each image was drawn gives the bootstrap's. What is in it is in `Scores`, in its
intervals, in metrics.json and on the model card."""


@dataclass(frozen=True)
class ClassScore:
    """One class: shares of its images found (recall) and of its calls that were right (precision); nan of none."""

    name: str
    images: int
    recall: float
    precision: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """Figures over a whole split; `intervals` are 95 % ones from resampling whole groups.

    figures: one value a metric. AUROC is the mean over classes of one class against the rest, nan where a
    split has fewer than two classes. confusion: (K, K) counts; rows are the truth, columns the calls.
    """

    figures: dict[str, float]
    confusion: Array
    per_class: tuple[ClassScore, ...]
    labels: Array
    probabilities: Array
    groups: Array

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.figures["accuracy"]

    @property
    def balanced_accuracy(self) -> float:
        """The mean of each class's recall."""
        return self.figures["balanced_accuracy"]

    @property
    def auroc(self) -> float:
        """The area under the ROC curve, as a mean over classes."""
        return self.figures["auroc"]

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % interval of each figure: bootstrap over groups."""
        names, which = np.unique(self.groups, return_inverse=True)
        rng = np.random.default_rng(0)
        draws = [np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(DRAWS)]
        weights = np.array(draws, dtype=float)[:, which]
        found = {}
        for name, metric in METRICS.items():
            with waiting(f"interval of {metric_name(name)}"):
                drawn = metric(self.labels, self.probabilities, weights)
            known = drawn[~np.isnan(drawn)]
            low, high = np.quantile(known if len(known) else drawn, [0.025, 0.975])
            found[name] = (float(low), float(high))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Figures, intervals and the per-class table, ready for JSON."""
        rows = {"confusion": self.confusion.tolist(), "per_class": [vars(row) for row in self.per_class]}
        found = {"images": len(self.labels), **self.figures, "intervals_95": self.intervals, **rows}
        return dict(finite(found))

    def __repr__(self) -> str:
        told = ", ".join(f"{metric_name(name)} {shown(value)}" for name, value in self.figures.items())
        return f"Scores({told}; {len(self.labels)} images)"


def shown(value: float) -> str:
    """A figure in three decimals; a dash where it is not defined."""
    return "–" if np.isnan(value) else f"{value:.3f}"


def finite(value: Any) -> Any:
    """Lists, dicts and values with None for what JSON has no number for: nan and the infinities."""
    return json.loads(json.dumps(value), parse_constant=lambda name: None)


def metric_name(name: str) -> str:
    """A metric's name as people write it."""
    return name.replace("_", " ").replace("auroc", "AUROC")


def evaluate(model: TransferModel, split: Split, classes: tuple[str, ...] | None = None) -> Scores:
    """Score `model` on every image of `split` at once, never as a mean of batches.

    classes: names for the table; numbers if None. Raises DataError for an empty split or
    a label that the model has no output for.

    >>> import transferlib as tl
    >>> splits = tl.load_data("digits", 40, image_size=32, n_val=20, n_test=20)
    >>> scores = tl.evaluate(tl.TransferModel("small_cnn", 10, pretrained=False), splits.test, splits.classes)
    >>> scores.confusion.shape, len(scores.per_class)
    ((10, 10), 10)
    """
    if not len(split):
        raise DataError("the split to evaluate is empty: ask load_data for n_test images, or evaluate another split.")
    probabilities = predict(model, split.inputs).numpy()
    return score(split.labels.numpy(), probabilities, classes, groups=split.groups.numpy())


def score(
    labels: Array, probabilities: Array, classes: tuple[str, ...] | None = None, *, groups: Array | None = None
) -> Scores:
    """Score any model's probabilities, (N, K), against labels, (N,), each from 0 to K - 1.

    classes, groups: as in `evaluate` and `Split`. Raises DataError for what does not fit together.

    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    >>> scores = score(np.array([0, 1, 1, 1]), probabilities, ("benign", "malignant"))
    >>> scores.accuracy, scores.confusion.tolist()
    (0.75, [[1, 0], [1, 2]])
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    shape = probabilities.shape
    if not len(labels) or len(shape) != 2 or shape[0] != len(labels):
        found = f"probabilities of shape {shape} for {len(labels)} labels"
        raise DataError(f"{found}: give one row a label, one label or more.")
    k = shape[1]
    if not (labels.min() >= 0 and labels.max() < k):
        found = f"the labels reach from {labels.min()} to {labels.max()}, but there are {k} outputs"
        raise DataError(f"{found}: score a model on the classes that it was trained for.")
    if classes is not None and len(classes) != k:
        raise DataError(f"{len(classes)} class names for {k} probabilities a row: they must match.")
    calls = probabilities.argmax(1)
    each = np.arange(k)
    confusion = confusion_matrix(labels, calls, labels=each)
    precision, recall, f1, support = precision_recall_fscore_support(labels, calls, labels=each, zero_division=np.nan)
    names = classes or tuple(str(index) for index in range(k))
    once = np.ones((1, len(labels)))
    rows = zip(names, support, recall, precision, f1, strict=True)
    return Scores(
        figures={name: metric(labels, probabilities, once).item() for name, metric in METRICS.items()},
        confusion=confusion,
        per_class=tuple(ClassScore(name, int(n), float(r), float(p), float(f)) for name, n, r, p, f in rows),
        labels=labels,
        probabilities=probabilities,
        groups=np.arange(len(labels)) if groups is None else groups,
    )
