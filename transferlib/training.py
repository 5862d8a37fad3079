"""One loop for every strategy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from transferlib.data.splits import Split, Splits
from transferlib.errors import TrainingDiverged, TransferError
from transferlib.features import halving
from transferlib.feed import Feed, Keeping
from transferlib.model import TransferModel
from transferlib.parallel import Processes
from transferlib.resume import Saver
from transferlib.run import Epoch, Run, TrainingInterrupted
from transferlib.storage import log
from transferlib.strategies import Phase, Strategy


def fit(
    model: TransferModel,
    splits: Splits,
    strategy: Strategy,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    cache: str | Path | None = None,
    half_features: bool = False,
    progress: Callable[[Epoch], None] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    save_every: float = 30.0,
) -> Run:
    """Train `model` by `strategy` and leave it with the weights of its best validation epoch.

    seed fixes the order of the images, the augmentation, dropout and, from scratch, the first
    weights: the same seed on the same machine gives the same run. device: None takes a CUDA
    device if there is one. precision: "bf16" computes in bfloat16 where that is safe; meant for
    recent GPUs, on processors it can be slower. cache: a folder for frozen features that do not fit
    into memory. half_features keeps them in half the bytes, and off by up to a thousandth. progress
    is called with each finished `Epoch`.

    checkpoint: a folder in which the state of the run is kept, written at the end of the first epoch and
    of one every `save_every` seconds. With resume=True a run that was killed goes on from
    there and ends with the weights that it would have had without the interruption.

    Launched by `accelerate launch` or `torchrun`, the processes share each batch.

    Raises TrainingDiverged if the loss is no longer a number, and TrainingInterrupted on
    Ctrl-C; in both cases the model holds its best weights so far. Raises CheckpointError when
    the checkpoint belongs to another run.

    >>> import transferlib as tl
    >>> splits = tl.load_data("digits", 40, image_size=32, n_val=20, n_test=20)
    >>> model = tl.TransferModel("small_cnn", num_classes=10, pretrained=False)
    >>> run = tl.fit(model, splits, tl.progressive_unfreezing(3, steps=3))
    >>> [(epoch.epoch, epoch.phase) for epoch in run.history]
    [(1, 1), (2, 2), (3, 3)]
    """
    if len(splits.classes) != model.head.out_features:
        raise TransferError(
            f"{splits.name} has {len(splits.classes)} classes, but the model's head has "
            f"{model.head.out_features} outputs. Build it with num_classes={len(splits.classes)}."
        )
    if precision not in ("fp32", "bf16"):
        raise TransferError(f"precision must be 'fp32' or 'bf16', not {precision!r}.")
    processes = Processes(device)
    if not strategy.pretrained:
        model.randomise(seed)
    model.keep_statistics = strategy.keep_statistics
    model.to(processes.device)
    run = Run(strategy, model.backbone, splits.name, seed)
    with torch.random.fork_rng(), processes.shared_statistics():
        torch.manual_seed(seed)
        keeping = Keeping(Path(cache) if cache else None, torch.float16 if half_features else torch.float32)
        trainer = Trainer(model, splits, strategy, run, processes, precision, keeping)
        saver = Saver(Path(checkpoint), trainer, save_every) if checkpoint else None
        if saver and resume:
            saver.load()
        try:
            trainer.train(progress, saver)
        except KeyboardInterrupt:
            raise TrainingInterrupted(run) from None
        finally:
            trainer.best.restore()
            model.eval()
    return run


class Trainer:
    """A run in progress: what `Saver` keeps of it is all that the rest of the run depends on."""

    def __init__(
        self,
        model: TransferModel,
        splits: Splits,
        strategy: Strategy,
        run: Run,
        processes: Processes,
        precision: str,
        keeping: Keeping,
    ) -> None:
        self.model, self.splits, self.strategy, self.run = model, splits, strategy, run
        self.processes, self.precision, self.keeping = processes, precision, keeping
        self.train_split, self.val = _to(splits.train, processes.device), _to(splits.val, processes.device)
        self.weights = _class_weights(strategy, self.train_split.labels, len(splits.classes))
        self.optimizer = _optimizer(model, strategy)
        self.generator = torch.Generator().manual_seed(run.seed)
        self.best = _BestWeights(model, strategy)
        self.batches = math.ceil(len(self.train_split) / strategy.batch_size)
        self.micro_batch = strategy.batch_size
        self.seconds_before = 0.0
        if len(self.train_split) // self.batches < processes.count:
            raise TransferError(
                f"batches of {len(self.train_split) // self.batches} images cannot be shared by {processes.count} "
                "processes: raise batch_size or launch fewer."
            )

    def train(self, progress: Callable[[Epoch], None] | None, saver: Saver | None) -> None:
        """Every epoch that the history does not hold yet."""
        begun = time.perf_counter()
        run, model, first = self.run, self.model, 1
        for index, phase in enumerate(self.strategy.phases, start=1):
            numbers = range(first, first := first + phase.epochs)
            if len(run.history) >= numbers[-1]:
                continue
            started = time.perf_counter()
            model.freeze_to(phase.frozen(len(model.stages)))
            feed = Feed(self)
            model.train()
            learning = [module for module in model.modules() if module.training]
            for number in numbers[max(len(run.history) + 1 - numbers[0], 0) :]:
                if self._stops_early():
                    return
                epoch = self._epoch(number, index, phase, feed, learning, started)
                if self.best.offer(epoch):
                    run.best_epoch = number
                run.history.append(epoch)
                run.seconds = self.seconds_before + time.perf_counter() - begun
                if saver:
                    saver.save()
                if progress:
                    progress(epoch)
                started = time.perf_counter()
        self._stops_early()

    def _stops_early(self) -> bool:
        run, patience = self.run, self.strategy.patience
        stops = patience is not None and bool(run.history) and run.history[-1].epoch - run.best_epoch >= patience
        if stops:
            run.notes.append(f"stopped early: no better {self.strategy.monitor} for {patience} epochs")
            log.info(run.notes[-1])
        return stops

    def _epoch(
        self, number: int, index: int, phase: Phase, feed: Feed, learning: list[nn.Module], started: float
    ) -> Epoch:
        strategy, count = self.strategy, len(self.train_split)
        rates, total = phase.rates(len(self.model.stages)), strategy.epochs * self.batches
        factor = 0.0
        _set_mode(learning, training=True)
        summed = torch.zeros((), device=self.processes.device)
        order = torch.randperm(count, generator=self.generator)
        for step, chosen in enumerate(order.tensor_split(self.batches), start=(number - 1) * self.batches):
            factor = schedule_factor(strategy, step, total)
            for group in self.optimizer.param_groups:
                group["lr"] = rates[group["stage"]] * factor
            summed += self._step(feed, chosen, number) * len(chosen)
        train_loss = summed.item() / count
        _set_mode(learning, training=False)
        logits = feed.val_logits()
        val_loss = cross_entropy(logits, self.val.labels).item()
        if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
            raise TrainingDiverged(_diverged(strategy, phase, index, number, self.run))
        accuracy, balanced = _accuracies(logits, self.val.labels)
        seconds = time.perf_counter() - started
        return Epoch(number, index, phase.lr * factor, train_loss, val_loss, accuracy, balanced, seconds)

    def _step(self, feed: Feed, chosen: Tensor, number: int) -> Tensor:
        """One update from one batch, in as many pieces as memory asks for; returns its mean loss."""
        inputs, labels = feed.batch(chosen, number, self.generator)
        parts, targets = self.processes.share(inputs), self.processes.share(labels)
        weight = self.weights[labels].sum() if self.weights is not None else len(labels)

        def gradients(size: int) -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=self.processes.device)
            for part, target in zip(torch.split(parts, size), torch.split(targets, size), strict=True):
                with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                    logits = feed.learner(feed.prepare(part))
                piece = cross_entropy(
                    logits.float(),
                    target,
                    weight=self.weights,
                    label_smoothing=self.strategy.label_smoothing,
                    reduction="sum",
                )
                # Accelerate averages the gradients of the processes; their sum is wanted.
                (piece * (self.processes.count / weight)).backward()  # type: ignore[no-untyped-call]
                loss += piece.detach() / weight
            self.micro_batch = size
            return loss

        if self.processes.count > 1:
            loss = gradients(self.micro_batch)  # halving in one process alone would leave the others waiting
        else:
            loss = halving(gradients, self.micro_batch, f"{self.micro_batch}; as many are summed up before each step")
        self.optimizer.step()
        return self.processes.sum(loss)


def _set_mode(modules: list[nn.Module], *, training: bool) -> None:
    """`model.train()` and `model.eval()` visit every frozen module twice an epoch; this visits none."""
    for module in modules:
        module.training = training


class _BestWeights:
    """The weights of the best epoch; only of what some phase lets learn."""

    def __init__(self, model: TransferModel, strategy: Strategy) -> None:
        lowest = min(phase.frozen(len(model.stages)) for phase in strategy.phases)
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
    return Split(split.inputs.to(device), split.labels.to(device), split.groups)


def _diverged(strategy: Strategy, phase: Phase, index: int, epoch: int, run: Run) -> str:
    kept = f"the weights of epoch {run.best_epoch} were kept" if run.history else "the weights from before were kept"
    learn = {None: "everything learns", 0: "the head learns"}.get(phase.learn, f"{phase.learn} stages and head learn")
    return (
        f"the loss is no longer a number in epoch {epoch}, phase {index} of {strategy.name!r} ({learn}, head learning "
        f"rate {phase.lr:g}); {kept}. Try a smaller rate, for example lr={phase.lr / 10:g}."
    )
