"""A run in progress: everything that the rest of it depends on."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from transferlib.data.splits import Split
from transferlib.engine.processes import Processes
from transferlib.errors import DataError, TransferError
from transferlib.model import TransferModel
from transferlib.run import Epoch, Run
from transferlib.strategies import Strategy


@dataclass(frozen=True)
class Keeping:
    """Where features that are too large for memory go, if anywhere, and in which type all are kept."""

    folder: Path | None = None
    dtype: torch.dtype = torch.float32


class BestWeights:
    """The weights of the best epoch; only of what some phase lets learn."""

    def __init__(self, model: TransferModel, strategy: Strategy) -> None:
        lowest = min(phase.frozen_below(len(model.stages)) for phase in strategy.phases)
        self.module = nn.ModuleList([model.stages[lowest:], model.head])
        self.monitor = strategy.monitor
        self.score: tuple[float, float] | None = None
        self.keep()

    def keep(self) -> None:
        """Remember the weights as they are."""
        self.state = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def offer(self, epoch: Epoch) -> bool:
        """Remember the weights if the epoch is the best so far."""
        score = epoch.score(self.monitor)
        better = self.score is None or score > self.score
        if better:
            self.score = score
            self.keep()
        return better

    def restore(self) -> None:
        """Give the model the weights of the best epoch."""
        self.module.load_state_dict(self.state)


@dataclass
class State:
    """What `fit` works on, a phase looks at, and `resume` keeps.

    train, val: on the device. loss: of logits and labels of a piece of a batch, its share of the batch's mean
    loss, given the whole batch's labels. micro_batch: how many images are computed at once; memory may ask for
    fewer than a batch. seconds_before: of the run before it was resumed.
    """

    model: TransferModel
    strategy: Strategy
    train: Split
    val: Split
    augment: str | Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    best: BestWeights
    generator: torch.Generator
    run: Run
    processes: Processes
    precision: str
    keeping: Keeping
    micro_batch: int
    seconds_before: float = 0.0

    def __post_init__(self) -> None:
        if not len(self.val):
            name = self.run.data
            raise DataError(f"{name}: val is empty, and the best epoch is chosen on it. Ask for more than n_val=0.")


@contextmanager
def averaging(images: int) -> Iterator[None]:
    """Raise TransferError where BatchNorm is left with a single number to average; images: that an epoch has."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        enough = next((size for size in range(2, images + 1) if images // math.ceil(images / size) > 1), 2)
        told = "BatchNorm cannot average over a batch of 1 image whose map has shrunk to a pixel"
        remedy = f"choose batch_size={enough} or more, or let the network see larger images"
        raise TransferError(f"{told}: {remedy}.") from error
