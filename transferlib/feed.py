"""Where a phase's batches come from."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from transferlib.data.splits import Splits
from transferlib.data.transforms import augment
from transferlib.features import batched, cache_bytes, cache_features, prefix, suffix
from transferlib.model import TransferModel
from transferlib.storage import log
from transferlib.strategies import Strategy

if TYPE_CHECKING:
    from transferlib.training import Trainer

CACHE_LIMIT = 2 * 1024**3
"""Frozen features larger than this many bytes are recomputed, or kept in a file, instead of in memory."""


@dataclass(frozen=True)
class Keeping:
    """Where features that are too large for memory go, if anywhere, and in which type all are kept."""

    folder: Path | None
    dtype: torch.dtype


class Feed:
    """The images of a phase, or what the frozen stages made of them."""

    def __init__(self, trainer: Trainer) -> None:
        model, self.processes, self.labels = trainer.model, trainer.processes, trainer.train_split.labels
        self.kind = trainer.strategy.augment or trainer.splits.augment
        views, size = keepable(model, trainer.splits, trainer.strategy)
        self.plain_learner = suffix(model, model.frozen)
        self.learner = self.processes.wrap(self.plain_learner)
        kept = self._kept(trainer, views, size) if views else None
        if kept:
            self.inputs, self.val_inputs = kept
            self.kind = "none"
            self.prepare: Callable[[Tensor], Tensor] = lambda features: features.float()
        else:
            self.inputs, self.val_inputs = trainer.train_split.inputs[None], trainer.val.inputs
            self.prepare = prefix(model, model.frozen)

    def batch(self, chosen: Tensor, epoch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs and labels of a batch. Augmentation is drawn for the whole of it, whoever computes which part."""
        view, device = self.inputs[(epoch - 1) % len(self.inputs)], self.processes.device
        inputs = view[chosen.to(view.device)].to(device, non_blocking=True)
        return augment(inputs, self.kind, generator), self.labels[chosen.to(device)]

    def val_logits(self) -> Tensor:
        """Logits of the whole validation split, (N, K), no image twice."""

        def logits(inputs: Tensor) -> Tensor:
            return cast(Tensor, self.plain_learner(self.prepare(inputs.to(self.processes.device))))

        return batched(lambda batch: self.processes.map(logits, batch), self.val_inputs)

    def _kept(self, trainer: Trainer, views: int, size: int) -> tuple[Tensor, Tensor] | None:
        """What the frozen stages make of training and validation images, if there is a place to keep it."""
        model, train, val = trainer.model, trainer.train_split, trainer.val
        size = size * trainer.keeping.dtype.itemsize // torch.float32.itemsize
        told = (
            f"{model.frozen} frozen stages run once over {views} view{'s' * (views > 1)} of {len(train)} training "
            f"and {len(val)} validation inputs: {size / 1e6:.1f} MB"
        )
        folder = trainer.keeping.folder if size > CACHE_LIMIT else None
        where = str(folder or "memory")
        common: dict[str, Any] = {"folder": folder, "dtype": trainer.keeping.dtype, "processes": trainer.processes}
        try:
            if size > CACHE_LIMIT:
                _check_room(size, folder)
            log.info("%s, to be kept in %s", told, where)
            inputs = cache_features(model, train.inputs, views=views, kind=self.kind, seed=trainer.run.seed, **common)
            kept = inputs, cache_features(model, val.inputs, **common)[0]
        except OSError as error:
            warnings.warn(f"{told} cannot be kept: {error}. They are recomputed every epoch instead.", stacklevel=5)
            return None
        trainer.run.notes.append(f"{told} kept in {where}")
        return kept


def keepable(model: TransferModel, splits: Splits, strategy: Strategy) -> tuple[int, int]:
    """How many fixed views of a training image the frozen stages see, and the bytes, in float32, of all that they make.

    (0, 0) where nothing is frozen, or where every epoch draws fresh views.
    """
    views = 1 if (strategy.augment or splits.augment) == "none" else strategy.views
    if not model.frozen or not views:
        return 0, 0
    image = splits.train.inputs[:1].to(model.head.weight.device)
    return views, cache_bytes(model, image, views=views * len(splits.train) + len(splits.val))


def _check_room(size: int, folder: Path | None) -> None:
    """Raise OSError if so many bytes fit neither into memory nor into the folder."""
    if folder is None:
        raise OSError(f"more than transferlib.feed.CACHE_LIMIT, {CACHE_LIMIT / 1e6:,.0f} MB, and no fit(cache=FOLDER)")
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OSError(f"{folder} has {free / 1e6:,.0f} MB free")
