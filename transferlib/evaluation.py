"""How good a model is, over a whole split, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score
from sklearn.metrics import precision_recall_fscore_support as per_class_scores
from torch import Tensor

from transferlib.data.splits import Split
from transferlib.errors import DataError
from transferlib.features import batched
from transferlib.model import TransferModel

Array = NDArray[Any]


def predict(model: TransferModel, inputs: Tensor, batch_size: int = 32) -> Tensor:
    """Probabilities, float (N, num_classes), of raw inputs: images, uint8 (N, 3, H, W), or texts, uint8 (N, W).

    The model is in evaluation mode meanwhile and afterwards as it was.

    >>> import transferlib as tl
    >>> images = tl.load_data("digits", 20, image_size=32, n_val=10, n_test=10).test.images
    >>> tl.predict(tl.TransferModel("small_cnn", 10, pretrained=False), images).shape
    torch.Size([10, 10])
    """
    device = model.head.weight.device
    was_training = model.training
    model.eval()
    logits = batched(lambda batch: model(batch.to(device)).float().cpu(), inputs, batch_size)
    model.train(was_training)
    return logits.softmax(1)


@dataclass(frozen=True)
class ClassScore:
    """One class: shares of its images found (recall) and of its calls that were right (precision)."""

    name: str
    images: int
    recall: float
    precision: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """Figures over a whole split; `intervals` are 95 % ones from resampling whole groups.

    auroc is the mean over classes of one class against the rest, nan where a split has
    fewer than two classes. confusion: (K, K) counts; rows are the truth, columns the calls.
    """

    accuracy: float
    balanced_accuracy: float
    auroc: float
    confusion: Array
    per_class: tuple[ClassScore, ...]
    labels: Array = field(repr=False)
    probabilities: Array = field(repr=False)
    groups: Array = field(repr=False)

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of accuracy, balanced accuracy and AUROC: bootstrap over groups."""
        names, which = np.unique(self.groups, return_inverse=True)
        members = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
        rng = np.random.default_rng(0)
        draws = [np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))]) for _ in range(200)]
        calls = self.probabilities.argmax(1)
        figures: dict[str, Callable[[Array], float]] = {
            "accuracy": lambda i: float(accuracy_score(self.labels[i], calls[i])),
            "balanced_accuracy": lambda i: _balanced(self.labels[i], calls[i]),
            "auroc": lambda i: _auroc(self.labels[i], self.probabilities[i]),
        }
        limits = {name: np.nanquantile([of(i) for i in draws], [0.025, 0.975]) for name, of in figures.items()}
        return {name: (float(low), float(high)) for name, (low, high) in limits.items()}

    def to_dict(self) -> dict[str, Any]:
        """Figures, intervals and the per-class table, ready for JSON."""
        return {
            "images": len(self.labels),
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "auroc": None if np.isnan(self.auroc) else self.auroc,
            "intervals_95": self.intervals,
            "confusion": self.confusion.tolist(),
            "per_class": [vars(row) for row in self.per_class],
        }

    def __repr__(self) -> str:
        return (
            f"Scores(accuracy {self.accuracy:.3f}, balanced accuracy {self.balanced_accuracy:.3f}, "
            f"AUROC {self.auroc:.3f}; {len(self.labels)} images)"
        )


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
    k = model.head.out_features
    if int(split.labels.max()) >= k or int(split.labels.min()) < 0:
        raise DataError(
            f"the labels reach from {int(split.labels.min())} to {int(split.labels.max())}, but the model has {k} "
            "outputs: evaluate it on the classes it was trained for."
        )
    probabilities = predict(model, split.inputs).numpy()
    return score(split.labels.numpy(), probabilities, classes, groups=split.groups.numpy())


def score(
    labels: Array, probabilities: Array, classes: tuple[str, ...] | None = None, *, groups: Array | None = None
) -> Scores:
    """Score any model's probabilities, (N, K), against labels, (N,).

    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    >>> scores = score(np.array([0, 1, 1, 1]), probabilities, ("benign", "malignant"))
    >>> scores.accuracy, scores.confusion.tolist()
    (0.75, [[1, 0], [1, 2]])
    """
    k = probabilities.shape[1]
    calls = probabilities.argmax(1)
    confusion = confusion_matrix(labels, calls, labels=np.arange(k))
    precision, recall, f1, support = per_class_scores(labels, calls, labels=np.arange(k), zero_division=0.0)
    names = classes or tuple(str(index) for index in range(k))
    rows = zip(names, support, recall, precision, f1, strict=True)
    return Scores(
        accuracy=float(accuracy_score(labels, calls)),
        balanced_accuracy=_balanced(labels, calls),
        auroc=_auroc(labels, probabilities),
        confusion=confusion,
        per_class=tuple(ClassScore(name, int(n), float(r), float(p), float(f)) for name, n, r, p, f in rows),
        labels=labels,
        probabilities=probabilities,
        groups=np.arange(len(labels)) if groups is None else groups,
    )


def _balanced(labels: Array, calls: Array) -> float:
    """The mean of each present class's recall."""
    present = np.unique(labels)
    return float(np.mean([(calls[labels == label] == label).mean() for label in present]))


def _auroc(labels: Array, probabilities: Array) -> float:
    """Mean over the present classes of one against the rest."""
    present = np.unique(labels)
    if len(present) < 2:
        return float("nan")
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(np.mean([roc_auc_score(labels == label, probabilities[:, label]) for label in present]))
