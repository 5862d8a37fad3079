"""One loop for every strategy."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from transferlib.data.splits import Split, Splits
from transferlib.data.transforms import augment
from transferlib.errors import TrainingDiverged, TransferError
from transferlib.features import batched, cache_bytes, cache_features, prefix, suffix
from transferlib.model import TransferModel, pick_device
from transferlib.strategies import Phase, Strategy

CACHE_LIMIT = 2 * 1024**3
"""Frozen features larger than this many bytes are recomputed instead of kept."""


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
        return (-self.val_loss if monitor == "loss" else float(getattr(self, f"val_{monitor}")), -self.val_loss)


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
        return asdict(self)

    def __repr__(self) -> str:
        if not self.history:
            return f"Run({self.strategy.name} of {self.backbone} on {self.data}, seed {self.seed}: no epoch finished)"
        phases = len(self.strategy.phases)
        phase = f" (phase {self.best.phase} of {phases})" if phases > 1 else ""
        return (
            f"Run({self.strategy.name} of {self.backbone} on {self.data}, seed {self.seed}: "
            f"{len(self.history)} epochs in {self.seconds:.1f} s, best epoch {self.best_epoch}{phase}, "
            f"validation accuracy {self.best.val_accuracy:.3f})"
        )


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training. The model holds the best weights so far; `run` tells of them."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"interrupted; the model holds the weights of epoch {run.best_epoch}")
        self.run = run


def fit(
    model: TransferModel,
    splits: Splits,
    strategy: Strategy,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Run:
    """Train `model` by `strategy` and leave it with the weights of its best validation epoch.

    seed fixes the order of the images, the augmentation, dropout and, from scratch, the first
    weights: the same seed on the same machine gives the same run. device: None takes a CUDA
    device if there is one. progress is called with each finished `Epoch`.

    Raises TrainingDiverged if the loss is no longer a number, and TrainingInterrupted on
    Ctrl-C; in both cases the model holds its best weights so far.
    """
    if len(splits.classes) != model.head.out_features:
        raise TransferError(
            f"{splits.name} has {len(splits.classes)} classes, but the model's head has "
            f"{model.head.out_features} outputs. Build it with num_classes={len(splits.classes)}."
        )
    device = pick_device(device)
    if not strategy.pretrained:
        model.randomise(seed)
    model.keep_statistics = strategy.keep_statistics
    model.to(device)
    run = Run(strategy, model.backbone, splits.name, seed)
    started = time.perf_counter()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        keeper = _BestWeights(model, strategy)
        try:
            for epoch in _epochs(model, splits, strategy, run, seed, device):
                epoch_is_best = keeper.offer(epoch)
                run.history.append(epoch)
                run.best_epoch = epoch.epoch if epoch_is_best else run.best_epoch
                run.seconds = time.perf_counter() - started
                if progress:
                    progress(epoch)
                if strategy.patience and epoch.epoch - run.best_epoch >= strategy.patience:
                    run.notes.append(f"stopped early: no better {strategy.monitor} for {strategy.patience} epochs")
                    break
        except KeyboardInterrupt:
            raise TrainingInterrupted(run) from None
        finally:
            keeper.restore()
            model.eval()
    return run


def _epochs(
    model: TransferModel, splits: Splits, strategy: Strategy, run: Run, seed: int, device: torch.device
) -> Iterator[Epoch]:
    """Train; yield after each epoch."""
    generator = torch.Generator().manual_seed(seed)
    train, val = _to(splits.train, device), _to(splits.val, device)
    weights = _class_weights(strategy, train.labels, len(splits.classes))
    optimizer = _optimizer(model, strategy)
    batches = math.ceil(len(train) / strategy.batch_size)
    total, step = strategy.epochs * batches, 0
    number = 0
    for index, phase in enumerate(strategy.phases, start=1):
        model.freeze_to(phase.frozen(len(model.stages)))
        feed = _Feed(model, train, val, strategy, strategy.augment or splits.augment, seed, run.notes)
        rates = phase.rates(len(model.stages))
        model.train()
        learning = [module for module in model.modules() if module.training]
        for _ in range(phase.epochs):
            number += 1
            started = time.perf_counter()
            _set_mode(learning, training=True)
            summed = torch.zeros((), device=device)
            for chosen in torch.randperm(len(train), generator=generator).tensor_split(batches):
                factor = schedule_factor(strategy, step, total)
                for group in optimizer.param_groups:
                    group["lr"] = rates[group["stage"]] * factor
                inputs, labels = feed.batch(chosen.to(device), number, generator)
                loss = cross_entropy(
                    feed.learner(inputs), labels, weight=weights, label_smoothing=strategy.label_smoothing
                )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                summed += loss.detach() * len(chosen)
                step += 1
            train_loss = summed.item() / len(train)
            _set_mode(learning, training=False)
            logits = feed.val_logits()
            val_loss = cross_entropy(logits, val.labels).item()
            if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
                raise TrainingDiverged(_diverged(strategy, phase, index, number, run))
            accuracy, balanced = _accuracies(logits, val.labels)
            seconds = time.perf_counter() - started
            lr = phase.lr * schedule_factor(strategy, step - 1, total)
            yield Epoch(number, index, lr, train_loss, val_loss, accuracy, balanced, seconds)


def _set_mode(modules: list[nn.Module], *, training: bool) -> None:
    """`model.train()` and `model.eval()` visit every frozen module twice an epoch; this visits none."""
    for module in modules:
        module.training = training


_Prepare = Callable[[Tensor, torch.Generator], Tensor]


class _Feed:
    """Where a phase's batches come from: the images, or what the frozen stages made of them."""

    def __init__(
        self, model: TransferModel, train: Split, val: Split, strategy: Strategy, kind: str, seed: int, notes: list[str]
    ) -> None:
        self.labels = train.labels
        self.learner = suffix(model, model.frozen)
        views = 1 if kind == "none" else strategy.views
        if model.frozen and views and _fits(model, train, val, views):
            self.inputs = cache_features(model, train.images, views=views, kind=kind, seed=seed)
            self.val_inputs = cache_features(model, val.images)[0]
            self.prepare: _Prepare = lambda kept, generator: kept
            self.val_prepare: Callable[[Tensor], Tensor] = lambda kept: kept
            megabytes = (self.inputs.nbytes + self.val_inputs.nbytes) / 1e6
            notes.append(
                f"{model.frozen} frozen stages ran once over {views} view{'s' * (views > 1)} of {len(train)} training "
                f"and {len(val)} validation images: {megabytes:.1f} MB kept"
            )
        else:
            before = prefix(model, model.frozen)
            self.inputs, self.val_inputs = train.images[None], val.images
            self.prepare = lambda images, generator: before(augment(images, kind, generator))
            self.val_prepare = before

    def batch(self, chosen: Tensor, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        inputs = self.inputs[(epoch - 1) % len(self.inputs)][chosen]
        return self.prepare(inputs, generator), self.labels[chosen]

    def val_logits(self) -> Tensor:
        return batched(lambda inputs: cast(Tensor, self.learner(self.val_prepare(inputs))), self.val_inputs)


def _fits(model: TransferModel, train: Split, val: Split, views: int) -> bool:
    size = cache_bytes(model, train.images, views=views) + cache_bytes(model, val.images)
    if size > CACHE_LIMIT:
        warnings.warn(
            f"the frozen features of {len(train)} images × {views} views would take {size / 1e9:.1f} GB, more than "
            f"transferlib.training.CACHE_LIMIT ({CACHE_LIMIT / 1e9:.1f} GB): they are recomputed every epoch instead.",
            stacklevel=5,
        )
    return size <= CACHE_LIMIT


class _BestWeights:
    """The weights of the best epoch; only of what some phase lets learn."""

    def __init__(self, model: TransferModel, strategy: Strategy) -> None:
        lowest = min(phase.frozen(len(model.stages)) for phase in strategy.phases)
        self.module = nn.ModuleList([model.stages[lowest:], model.head])
        self.monitor = strategy.monitor
        self.score: tuple[float, float] | None = None
        self._keep()

    def _keep(self) -> None:
        self.state = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def offer(self, epoch: Epoch) -> bool:
        score = epoch.score(self.monitor)
        better = self.score is None or score > self.score
        if better:
            self.score = score
            self._keep()
        return better

    def restore(self) -> None:
        self.module.load_state_dict(self.state)


def _optimizer(model: TransferModel, strategy: Strategy) -> torch.optim.Optimizer:
    """One optimizer for the whole run, built before anything is frozen or thawed.

    One group a stage, split into weights, which decay, and biases and norms, which do not.
    """
    groups = []
    for index, module in enumerate([*model.stages, model.head]):
        parameters = list(module.parameters())
        for decay in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decay]
            if chosen:
                groups.append({"params": chosen, "stage": index, "weight_decay": strategy.weight_decay * decay})
    if strategy.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=strategy.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def schedule_factor(strategy: Strategy, step: int, total: int) -> float:
    """What share of its rate a group learns with at `step` of `total`: warm-up, then the schedule."""
    warm = round(strategy.warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    if strategy.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))


def _class_weights(strategy: Strategy, labels: Tensor, classes: int) -> Tensor | None:
    if strategy.class_weights is None:
        return None
    if strategy.class_weights == "balanced":
        counts = torch.bincount(labels, minlength=classes).clamp(min=1)
        return len(labels) / (classes * counts)
    weights = torch.tensor(strategy.class_weights, dtype=torch.float32, device=labels.device)
    if weights.shape != (classes,):
        raise TransferError(f"class_weights has {weights.numel()} numbers, but there are {classes} classes.")
    return weights


def _accuracies(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Share of right answers, and the mean of each class's share."""
    right = (logits.argmax(1) == labels).double()
    shares = [right[labels == label].mean().item() for label in set(labels.tolist())]
    return right.mean().item(), sum(shares) / len(shares)


def _to(split: Split, device: torch.device) -> Split:
    return Split(split.images.to(device), split.labels.to(device), split.groups)


def _diverged(strategy: Strategy, phase: Phase, index: int, epoch: int, run: Run) -> str:
    kept = f"the weights of epoch {run.best_epoch} were kept" if run.history else "the weights from before were kept"
    learn = {None: "everything learns", 0: "the head learns"}.get(phase.learn, f"{phase.learn} stages and head learn")
    return (
        f"the loss is no longer a number in epoch {epoch}, phase {index} of {strategy.name!r} ({learn}, head learning "
        f"rate {phase.lr:g}); {kept}. Try a smaller rate, for example lr={phase.lr / 10:g}."
    )
