"""The record of a training run."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from transferlib.strategies import Strategy


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images gave. Accuracies are shares of the whole validation split."""

    epoch: int
    phase: int
    lr: float
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float
    seconds: float

    def score(self, monitor: str) -> tuple[float, float]:
        """What a better epoch has more of; the loss decides between equals."""
        if monitor == "last":
            return self.epoch, 0.0
        return (-self.val_loss if monitor == "loss" else float(getattr(self, f"val_{monitor}"))), -self.val_loss


@dataclass
class Run:
    """The record of one training run. The model holds the weights of `best_epoch`."""

    strategy: Strategy
    backbone: str
    data: str
    seed: int
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> Epoch:
        """The epoch whose weights the model holds."""
        return self.history[self.best_epoch - 1]

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts, ready for JSON."""
        plain = asdict(replace(self, strategy=replace(self.strategy, augment=None, loss=None)))
        return plain | {"strategy": self.strategy.to_dict()}

    def __repr__(self) -> str:
        what = f"Run({self.strategy.name} of {self.backbone} on {self.data}, seed {self.seed}"
        if not self.history:
            return f"{what}: no epoch finished)"
        phases = len(self.strategy.phases)
        phase = f" (phase {self.best.phase} of {phases})" if phases > 1 else ""
        took = f"{len(self.history)} epochs in {self.seconds:.1f} s"
        best = f"best epoch {self.best_epoch}{phase}, validation accuracy {self.best.val_accuracy:.3f}"
        return f"{what}: {took}, {best})"


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training. The model holds the best weights so far; `run` tells of them."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted; the model holds the weights of epoch {run.best_epoch}")
        self.run = run
