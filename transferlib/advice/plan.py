"""What a training run would do and about how long it would take, without doing it."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transferlib.data.splits import PARTS, Splits
from transferlib.engine.processes import Processes
from transferlib.engine.state import Keeping, State
from transferlib.features import keepable, no_room, prefix, suffix
from transferlib.files.template import fill
from transferlib.model import TransferModel
from transferlib.strategies import Phase, Strategy
from transferlib.training import begin, update

PLAN = Path(__file__).with_name("plan.txt.jinja")
Device = str | torch.device | None


@dataclass(frozen=True)
class PhasePlan:
    """One phase, with the learning rate of each stage and of the head; 0 is frozen.

    parameters: how many learn. cache_bytes: the size of what is kept of the frozen stages, 0 if
    nothing is. seconds: an estimate for all its epochs.
    """

    epochs: int
    rates: dict[str, float]
    parameters: int
    cache_bytes: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """A run: parameters of each stage and of the head, phases, steps an epoch, estimated seconds altogether."""

    strategy: str
    backbone: str
    data: str
    images: dict[str, int]
    batch_size: int
    steps: int
    parameters: dict[str, int]
    phases: tuple[PhasePlan, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dicts, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return fill(PLAN, plan=self, duration=duration).rstrip()


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 s", "3 min 20 s", "2 h 5 min"; at least "1 s"."""
    minutes, rest = divmod(max(round(seconds), 1), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def plan(
    model: TransferModel, splits: Splits, strategy: Strategy, *, device: Device = None, cache: str | Path | None = None
) -> Plan:
    """Say what `fit` would do: who learns how fast, what is kept, and about how long it takes.

    Times come from one training step and one forward pass a phase, on a copy: the model stays
    as it is. They leave out the drawing of augmentations and whatever else the machine does.
    cache: as for `fit`.
    """
    keeping = Keeping(Path(cache) if cache else None)
    one = Processes(device, count=1)
    steps = math.ceil(len(splits.train) / strategy.batch_size)
    with torch.random.fork_rng():
        state = begin(copy.deepcopy(model), splits, strategy, seed=0, processes=one, precision="fp32", keeping=keeping)
        phases = tuple(_phase(state, phase, steps) for phase in strategy.phases)
        images = state.train.inputs[: strategy.batch_size]
        forward = _seconds(lambda: state.model(images)) / len(images)
    sizes = {part: len(getattr(splits, part)) for part in PARTS}
    numbers = {name: count for name, count, _ in model.parameter_table()}
    seconds = sum(phase.seconds for phase in phases) + forward * sizes["test"]
    size = strategy.batch_size
    return Plan(strategy.name, model.backbone, splits.name, sizes, size, steps, numbers, phases, seconds)


def _phase(state: State, phase: Phase, steps: int) -> PhasePlan:
    model = state.model.freeze_to(phase.frozen_below(len(state.model.stages)), above=phase.above)
    batch = state.train[: state.strategy.batch_size]
    before, learner = prefix(model, model.frozen_below), suffix(model, model.frozen_below)
    with torch.no_grad():
        inputs = before(batch.inputs)
        frozen = _seconds(lambda: before(batch.inputs))
        forward = _seconds(lambda: learner(inputs))
    model.train()
    step = _seconds(lambda: update(state, learner, inputs, batch.labels))  # the rates are still zero: nothing moves
    model.eval()
    views, kept = keepable(state)
    kept *= not no_room(kept, state.keeping.folder)
    n_train, n_val = len(state.train) / len(batch), len(state.val) / len(batch)
    below = views * n_train + n_val if kept else phase.epochs * (steps + n_val)  # batches through what is frozen
    seconds = phase.epochs * (step * steps + forward * n_val) + frozen * below
    table = model.parameter_table()
    rates = {name: rate for (name, _, _), rate in zip(table, phase.rates(len(model.stages)), strict=True)}
    return PhasePlan(phase.epochs, rates, sum(count for _, count, learns in table if learns), kept, seconds)


def _seconds(action: Callable[[], Tensor]) -> float:
    """Of the second call: the first one pays for what is done only once."""
    action().cpu()
    started = time.perf_counter()
    action().cpu()  # waits for a GPU
    return time.perf_counter() - started
