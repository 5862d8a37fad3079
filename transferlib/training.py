"""One loop for every strategy."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from transferlib.data.splits import Split, Splits
from transferlib.engine.memory import halving
from transferlib.engine.processes import Processes
from transferlib.engine.resume import Saver
from transferlib.engine.state import BestWeights, Keeping, State, averaging
from transferlib.errors import TrainingDiverged, TransferError
from transferlib.evaluation import METRICS, predict
from transferlib.features import Feed
from transferlib.files.waiting import each
from transferlib.model import TransferModel
from transferlib.run import Epoch, Run, TrainingInterrupted
from transferlib.strategies import Phase, Strategy

log = logging.getLogger(__name__)


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
    """Train `model` by `strategy` and leave it with the weights of its best validation epoch (see `Strategy.monitor`).

    seed fixes the order of the images, the augmentation, dropout and, from scratch, the first
    weights: the same seed on the same machine gives the same run. device: None takes a CUDA
    device if there is one. precision: "bf16" computes in bfloat16 where that is safe; meant for
    recent GPUs, on processors it can be slower. cache: a folder for frozen features that do not fit
    into memory. half_features keeps them in half the bytes, and off by up to a thousandth. progress
    is called with each finished `Epoch`.

    checkpoint: a folder in which the state of the run is kept, written at the end of the first epoch and
    of one every `save_every` seconds. With resume=True a run that was killed goes on from
    there and ends with the weights that it would have had without the interruption. A loss or a transform of
    your own is known again by its name alone.

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
    processes = Processes(device)
    keeping = Keeping(Path(cache) if cache else None, torch.float16 if half_features else torch.float32)
    with torch.random.fork_rng(), processes.shared_statistics():
        torch.manual_seed(seed)
        state = begin(model, splits, strategy, seed=seed, processes=processes, precision=precision, keeping=keeping)
        for note in state.run.notes:
            log.info(note)
        saver = Saver(Path(checkpoint), state, save_every) if checkpoint else None
        if saver and resume:
            saver.load()
        try:
            _train(state, progress, saver)
        except KeyboardInterrupt:
            raise TrainingInterrupted(state.run) from None
        finally:
            state.best.restore()
            model.eval()
    return state.run


def begin(
    model: TransferModel,
    splits: Splits,
    strategy: Strategy,
    *,
    seed: int,
    processes: Processes,
    precision: str,
    keeping: Keeping,
) -> State:
    """Everything that a run begins with. Raises TransferError when its parts do not fit together."""
    if len(splits.classes) != model.num_classes:
        told = f"{splits.name} has {len(splits.classes)} classes, but the model's head has {model.num_classes} outputs"
        raise TransferError(f"{told}. Build it with num_classes={len(splits.classes)}.")
    if precision not in ("fp32", "bf16"):
        raise TransferError(f"precision must be 'fp32' or 'bf16', not {precision!r}.")
    smallest = len(splits.train) // math.ceil(len(splits.train) / strategy.batch_size)
    if smallest < processes.count:
        shared = f"batches of {smallest} images cannot be shared by {processes.count} processes"
        raise TransferError(f"{shared}: raise batch_size or launch fewer.")
    if not strategy.pretrained:
        model.randomise(seed)
    model.keep_statistics = strategy.keep_statistics
    model.to(processes.device)
    predict(model, splits.train.inputs[:1])  # what the network cannot take is refused before anything is kept
    train, val = (
        Split(split.inputs.to(processes.device), split.labels.to(processes.device), split.groups)
        for split in (splits.train, splits.val)
    )
    notes = [] if model.weights == "random" else model.preprocess.notes(train.inputs)
    return State(
        model=model,
        strategy=strategy,
        train=train,
        val=val,
        augment=strategy.augment or splits.augment,
        loss=_loss(strategy, train.labels, model.num_classes),
        optimizer=_optimizer(model, strategy),
        best=BestWeights(model, strategy),
        generator=torch.Generator().manual_seed(seed),
        run=Run(strategy, model.backbone, splits.name, seed, notes=notes),
        processes=processes,
        precision=precision,
        keeping=keeping,
        micro_batch=strategy.batch_size,
    )


def _train(state: State, progress: Callable[[Epoch], None] | None, saver: Saver | None) -> None:
    """Every epoch that the history does not hold yet."""
    begun = time.perf_counter()
    run, model, last = state.run, state.model, 0
    for index, phase in enumerate(state.strategy.phases, start=1):
        first, last = last + 1, last + phase.epochs
        if len(run.history) >= last:
            continue
        started = time.perf_counter()
        model.freeze_to(phase.frozen_below(len(model.stages)), above=phase.above)
        feed = Feed(state)
        model.train()
        learning = [module for module in model.modules() if module.training]
        for number in range(max(first, len(run.history) + 1), last + 1):
            if _stops_early(state):
                return
            epoch = _epoch(state, number, index, phase, feed, learning, started)
            if state.best.offer(epoch):
                run.best_epoch = number
            run.history.append(epoch)
            run.seconds = state.seconds_before + time.perf_counter() - begun
            if saver:
                saver.save()
            if progress:
                progress(epoch)
            started = time.perf_counter()
    _stops_early(state)


def _stops_early(state: State) -> bool:
    run, patience = state.run, state.strategy.patience
    stops = patience is not None and bool(run.history) and run.history[-1].epoch - run.best_epoch >= patience
    if stops:
        run.notes.append(f"stopped early: no better {state.strategy.monitor} for {patience} epochs")
        log.info(run.notes[-1])
    return stops


def _epoch(
    state: State, number: int, index: int, phase: Phase, feed: Feed, learning: list[nn.Module], started: float
) -> Epoch:
    strategy, count = state.strategy, len(state.train)
    batches = math.ceil(count / strategy.batch_size)
    rates, total, factor = phase.rates(len(state.model.stages)), strategy.epochs * batches, 0.0
    _set_mode(learning, training=True)
    summed = torch.zeros((), device=state.processes.device)
    order = torch.randperm(count, generator=state.generator)
    parts = each(order.tensor_split(batches), f"epoch {number}, batches")
    for step, chosen in enumerate(parts, start=(number - 1) * batches):
        factor = schedule_factor(strategy, step, total)
        for group in state.optimizer.param_groups:
            group["lr"] = rates[group["part"]] * factor
        summed += update(state, feed.forward, *feed.batch(chosen, number, state.generator)) * len(chosen)
    train_loss = summed.item() / count
    _set_mode(learning, training=False)
    logits, labels = feed.val_logits(), state.val.labels
    val_loss = (strategy.loss or cross_entropy)(logits, labels).item()
    if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
        raise TrainingDiverged(_diverged(state, phase, index, number))
    accuracy, balanced = (
        METRICS[name](labels.cpu().numpy(), logits.cpu().numpy(), np.ones((1, len(labels)))).item()
        for name in ("accuracy", "balanced_accuracy")
    )
    seconds = time.perf_counter() - started
    return Epoch(number, index, phase.lr * factor, train_loss, val_loss, accuracy, balanced, seconds)


def update(state: State, forward: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
    """One step of the optimizer from one batch, in as many pieces as memory asks for; returns the batch's mean loss."""
    parts, targets = state.processes.share(inputs), state.processes.share(labels)

    def gradients(size: int) -> Tensor:
        state.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=state.processes.device)
        for part, target in zip(torch.split(parts, size), torch.split(targets, size), strict=True):
            narrow = torch.autocast(state.processes.device.type, torch.bfloat16, enabled=state.precision == "bf16")
            with narrow, averaging(len(state.train)):
                logits = forward(part)
            piece = state.loss(logits.float(), target, labels)
            # Accelerate averages the gradients of the processes; their sum is wanted.
            (piece * state.processes.count).backward()  # type: ignore[no-untyped-call]
            loss += piece.detach()
        state.micro_batch = size
        return loss

    if state.processes.count > 1:
        loss = gradients(state.micro_batch)  # halving in one process alone would leave the others waiting
    else:
        loss = halving(gradients, state.micro_batch, f"{state.micro_batch}; as many are summed up before each step")
    state.optimizer.step()
    return state.processes.sum(loss)


def _set_mode(modules: list[nn.Module], *, training: bool) -> None:
    """`model.train()` and `model.eval()` visit every frozen module twice an epoch; this visits none."""
    for module in modules:
        module.training = training


def _optimizer(model: TransferModel, strategy: Strategy) -> torch.optim.Optimizer:
    """One optimizer for the whole run, built before anything is frozen or thawed.

    Two groups a part, the head included: its weights, which decay, and its biases and norms, which do not.
    """
    groups = []
    for index, module in enumerate(model.parts):
        parameters = list(module.parameters())
        for decay in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decay]
            if chosen:
                groups.append({"params": chosen, "part": index, "weight_decay": strategy.weight_decay * decay})
    if strategy.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=strategy.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def schedule_factor(strategy: Strategy, step: int, total: int) -> float:
    """What share of its rate a group learns with at `step` of `total`: warm-up, then the schedule."""
    if strategy.schedule == "restarts":
        lengths = [total * phase.epochs // strategy.epochs for phase in strategy.phases]
        while step >= lengths[0] and len(lengths) > 1:
            step -= lengths.pop(0)
        total = lengths[0]
    warm = round(strategy.warmup * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    if strategy.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))


def _loss(strategy: Strategy, labels: Tensor, classes: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """From logits and labels of a piece of a batch, and the labels of all of it: the piece's share of the mean loss."""
    if own := strategy.loss:
        return lambda logits, target, batch: own(logits, target) * (len(target) / len(batch))
    weights = _class_weights(strategy, labels, classes)

    def loss(logits: Tensor, target: Tensor, batch: Tensor) -> Tensor:
        smoothing = strategy.label_smoothing
        summed = cross_entropy(logits, target, weight=weights, label_smoothing=smoothing, reduction="sum")
        return summed * (1 / (len(batch) if weights is None else weights[batch].sum()))

    return loss


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


def _diverged(state: State, phase: Phase, index: int, epoch: int) -> str:
    run = state.run
    kept = f"the weights of epoch {run.best_epoch} were kept" if run.history else "the weights from before were kept"
    learn = ", ".join(name for name, _, learns in state.model.parameter_table() if learns)
    return (
        f"the loss is no longer a number in epoch {epoch}, phase {index} of {run.strategy.name!r} (learning: {learn}; "
        f"head learning rate {phase.lr:g}); {kept}. Try a smaller rate, for example lr={phase.lr / 10:g}."
    )
