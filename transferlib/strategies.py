"""A strategy is a list of phases: which stages learn, how fast, for how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from transferlib.deprecated import old_name
from transferlib.errors import TransferError

if TYPE_CHECKING:
    from torch import Tensor


CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "restarts", "constant"),
    "augment": (None, "none", "flip", "dihedral"),
    "monitor": ("accuracy", "balanced_accuracy", "loss", "last"),
}


def _check(given: object, **rules: tuple[bool, str]) -> None:
    """Raise TransferError for the first value that is not what it must be."""
    for name, (good, must) in rules.items():
        if not good:
            raise TransferError(f"{name} must be {must}, not {getattr(given, name)!r}.")


def _whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and int(value) >= least


@dataclass(frozen=True)
class Phase:
    """A stretch of training during which nothing about who learns changes.

    learn: how many stages below the head learn: 0 is the head alone, None is all of them.
    lr: the head's learning rate. body: the deepest stage's, as a share of the head's.
    decay: each shallower stage's, as a share of the one above it.
    above: so many parts at the deep end are frozen too, and `learn` counts below them: 1 is the
    head, 2 the head and the deepest stage (surgical fine-tuning, Lee et al. 2023).

    >>> Phase(epochs=2, learn=1, lr=0.01).rates(3)  # two stages frozen, one learns, and the head
    [0.0, 0.0, 0.001, 0.01]
    >>> Phase(epochs=2, learn=1, lr=0.01, above=3, decay=1.0).rates(3)  # the shallowest stage alone
    [0.001, 0.0, 0.0, 0.0]
    """

    epochs: int
    learn: int | None
    lr: float
    body: float = 0.1
    decay: float = 0.7
    above: int = 0

    def __post_init__(self) -> None:
        share = "above 0 and at most 1"
        _check(
            self,
            epochs=(_whole(self.epochs, 1), "a whole number from 1"),
            learn=(self.learn is None or _whole(self.learn, 0), "None or a whole number from 0"),
            lr=(0 < self.lr < float("inf"), "above 0"),
            body=(0 < self.body <= 1, share),
            decay=(0 < self.decay <= 1, share),
            above=(self.above == 0 or (self.above > 0 and self.learn != 0), "0, or more with learn=1 or more below"),
        )

    def frozen_below(self, stages: int) -> int:
        """How many of a network's `stages` are frozen in this phase, counted from the shallow end."""
        return 0 if self.learn is None else max(stages - max(self.above - 1, 0) - self.learn, 0)

    frozen = old_name("phase.frozen", "frozen_below")

    def rates(self, stages: int) -> list[float]:
        """The learning rate of each stage, shallow to deep, then of the head; 0 is frozen."""
        body = [self.lr * self.body * self.decay ** (stages - 1 - index) for index in range(stages)]
        learning = range(self.frozen_below(stages), stages + 1 - self.above)
        return [rate if part in learning else 0.0 for part, rate in enumerate([*body, self.lr])]


@dataclass(frozen=True)
class Strategy:
    """A recipe for training: phases, and what stays the same through all of them.

    pretrained: False forgets the weights first. optimizer: "adamw", or "sgd" with momentum.
    schedule: "cosine" falls to zero over the whole run after `warmup` (a share of its steps);
    "restarts" does so in each phase anew; "constant" stays. keep_statistics: the stages' BatchNorm
    layers keep the averages they came with while their weights learn; those of a few small batches
    are too noisy to replace the averages of a million images (a body from scratch needs them).
    augment: None leaves it to the data (see `Splits.augment`), "none" shows each image as it is; a
    function, such as a transform of torchvision.transforms.v2, gets one uint8 image, (3, H, W), at
    a time. loss: None is cross-entropy; a function of logits, (N, K), and labels, (N,), gives their
    mean loss, as those of torch.nn do. views: with K ≥ 1 frozen stages see K fixed views of each
    image (the first one unchanged) and are computed once; None draws fresh ones every epoch.
    class_weights: "balanced" or one weight a class, for the training loss. monitor: what the epoch
    that is kept has most of, on the validation split; "last" keeps the last one. patience: stop
    after so many epochs without a better one.
    """

    name: str
    phases: tuple[Phase, ...]
    pretrained: bool = True
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    weight_decay: float = 1e-2
    schedule: Literal["cosine", "restarts", "constant"] = "cosine"
    warmup: float = 0.1
    batch_size: int = 16
    keep_statistics: bool = False
    augment: Literal["none", "flip", "dihedral"] | Callable[[Tensor], Tensor] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    views: int | None = None
    label_smoothing: float = 0.0
    class_weights: Literal["balanced"] | Sequence[float] | None = None
    patience: int | None = None
    monitor: Literal["accuracy", "balanced_accuracy", "loss", "last"] = "accuracy"

    @property
    def epochs(self) -> int:
        """The epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def __post_init__(self) -> None:
        positive, share = "a whole number from 1", "in [0, 1)"
        own = {"augment"} if callable(self.augment) else set()
        one_of = {n: (n in own or getattr(self, n) in those, f"one of {those}") for n, those in CHOICES.items()}
        _check(
            self,
            **one_of,
            batch_size=(_whole(self.batch_size, 1), positive),
            views=(self.views is None or _whole(self.views, 1), positive),
            patience=(self.patience is None or _whole(self.patience, 1), positive),
            momentum=(0 <= self.momentum < 1, share),
            warmup=(0 <= self.warmup < 1, share),
            label_smoothing=(0 <= self.label_smoothing < 1, share),
            weight_decay=(self.weight_decay >= 0, "0 or more"),
        )
        if not self.phases:
            raise TransferError(f"strategy {self.name!r} has no phases.")
        if self.loss and (self.label_smoothing or self.class_weights is not None):
            raise TransferError("label_smoothing and class_weights belong to cross-entropy: build them into your loss.")
        if self.monitor == "last" and self.patience is not None:
            raise TransferError('patience waits for a better epoch, but monitor="last" takes each: give one of them.')

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts; a function of your own is its name."""
        plain = asdict(replace(self, augment=None, loss=None))
        for name in ("augment", "loss"):
            value = getattr(self, name)
            plain[name] = getattr(value, "__qualname__", repr(value)) if callable(value) else value
        return plain


def _pretrained(name: str, *phases: Phase, **options: Any) -> Strategy:
    return Strategy(name, phases, **{"keep_statistics": True, **options})


def from_scratch(epochs: int = 30, lr: float = 3e-3, **options: Any) -> Strategy:
    """Train everything from a random start: what transfer learning is compared with."""
    return Strategy("from scratch", (Phase(epochs, None, lr, body=1.0, decay=1.0),), pretrained=False, **options)


def feature_extraction(epochs: int = 20, lr: float = 3e-3, *, views: int | None = 1, **options: Any) -> Strategy:
    """Freeze the whole body and train the head alone (a linear probe).

    With one view, the default, the frozen body runs once over each image and the epochs that
    follow cost milliseconds.
    """
    return _pretrained("feature extraction", Phase(epochs, 0, lr), views=views, **options)


def fine_tuning(
    epochs: int = 10,
    lr: float = 3e-3,
    *,
    body: float = 0.1,
    decay: float = 0.7,
    learn: int | None = None,
    **options: Any,
) -> Strategy:
    """Train head and body together, the body about ten times slower, shallow stages slower still.

    Discriminative learning rates: Howard & Ruder 2018. learn: how many stages below the head
    learn (None: all).
    """
    return _pretrained("fine-tuning", Phase(epochs, learn, lr, body, decay), **options)


def progressive_unfreezing(
    epochs: int = 10,
    lr: float = 3e-3,
    *,
    steps: int | None = None,
    body: float = 0.1,
    decay: float = 0.7,
    **options: Any,
) -> Strategy:
    """Train the head, then thaw one more stage a phase, deepest first; the last phase thaws all.

    Gradual unfreezing: Howard & Ruder 2018. steps: the number of phases, 4 if there are so many
    epochs; the epochs are divided evenly, and what is left over goes to the last ones.

    >>> [(phase.epochs, phase.learn) for phase in progressive_unfreezing(10, steps=4).phases]
    [(2, 0), (2, 1), (3, 2), (3, None)]
    """
    steps = min(4, epochs) if steps is None else steps
    if not 2 <= steps <= epochs:
        raise TransferError(f"steps must be between 2 and the {epochs} epochs, not {steps}.")
    lengths = [epochs // steps + (step >= steps - epochs % steps) for step in range(steps)]
    learn = [*range(steps - 1), None]
    phases = (Phase(length, depth, lr, body, decay) for length, depth in zip(lengths, learn, strict=True))
    return _pretrained("progressive unfreezing", *phases, **options)


def lp_ft(epochs: int = 10, lr: float = 3e-3, *, probe: float = 0.5, **options: Any) -> Strategy:
    """Linear probing, then fine-tuning: first a good head, then gentle changes below it.

    Kumar et al. 2022. probe: the share of the epochs spent on the head alone.

    >>> [(phase.epochs, phase.learn) for phase in lp_ft(10, probe=0.3).phases]
    [(3, 0), (7, None)]
    """
    first = round(epochs * probe)
    if not 1 <= first < epochs:
        raise TransferError(f"epochs={epochs} with probe={probe} leaves a phase without an epoch: raise epochs.")
    tuned = fine_tuning(epochs - first, lr, **options)
    return replace(tuned, name="LP-FT", phases=(Phase(first, 0, lr), *tuned.phases))
