"""What is frozen needs to be computed only once."""

import logging
import secrets
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from transferlib.data.transforms import Augment, augment
from transferlib.engine.memory import batched, evaluated, halving, in_pieces
from transferlib.engine.processes import Processes
from transferlib.engine.state import State
from transferlib.errors import TransferError
from transferlib.files.tensors import hash_of, mapped_tensor
from transferlib.files.waiting import each
from transferlib.model import TransferModel

log = logging.getLogger(__name__)

CACHE_LIMIT = 2 * 1024**3
"""Frozen features larger than this many bytes are recomputed, or kept in a file, instead of in memory."""


def prefix(model: TransferModel, stages: int) -> Callable[[Tensor], Tensor]:
    """From raw inputs, images or texts, to what comes out of the first `stages` stages, which are frozen."""
    body = model.stages[:stages]

    def run(inputs: Tensor) -> Tensor:
        return cast(Tensor, body(model.preprocess.apply(inputs)))

    return lambda inputs: in_pieces(run, inputs, model.preprocess.at_once(inputs, inputs.device))


def suffix(model: TransferModel, stages: int) -> nn.Module:
    """From what comes out of the first `stages` stages to logits, (N, num_classes)."""
    return nn.Sequential(*model.stages[stages:], model.head)


def extract_features(model: TransferModel, inputs: Tensor, *, batch_size: int = 32) -> Tensor:
    """What the head would see of raw inputs, float (N, features), on the processor and without gradients.

    inputs: as for `predict`. The model is in evaluation mode meanwhile and afterwards as it was.

    >>> model = TransferModel("small_cnn", 2, pretrained=False)
    >>> extract_features(model, torch.zeros(4, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([4, 128])
    """
    return evaluated(model, model.features, inputs, batch_size)


def cache_bytes(model: TransferModel, images: Tensor, *, views: int = 1) -> int:
    """How many bytes `cache_features` will keep, found out by running a single image."""
    with torch.no_grad():
        return prefix(model, model.frozen_below)(images[:1]).float().nbytes * len(images) * views


def cache_features(
    model: TransferModel,
    images: Tensor,
    *,
    views: int = 1,
    kind: Augment = "none",
    seed: int = 0,
    batch_size: int = 32,
    dtype: torch.dtype = torch.float32,
    folder: str | Path | None = None,
    processes: Processes | None = None,
) -> Tensor:
    """Run the frozen stages once over `views` views of each image and return what comes out.

    images: uint8, (N, 3, H, W), or texts, uint8 (N, W). Returns (views, N, …). A frozen stage is in evaluation mode,
    so an image's activations depend on nothing but the image: training on them gives what
    training with the stages in place would give. The first view is the image as it is; the
    others are random ones of the given kind (see `augment`), drawn once, not every epoch.

    dtype: torch.float16 halves the size and is no longer exact (relative error up to 5e-4).
    folder: keep the result there as a memory-mapped file, found again by a hash of the frozen
    weights, the preprocessing, the images and the views. processes: several that share the work.

    >>> model = TransferModel("small_cnn", 2, pretrained=False).freeze_to("stage4")
    >>> cache_features(model, torch.zeros(4, 3, 32, 32, dtype=torch.uint8), views=2, kind="flip").shape
    torch.Size([2, 4, 128])
    """
    if not model.frozen_below:
        raise TransferError(f"no stage of {model.backbone} is frozen, so nothing is computed once: freeze_to first.")
    processes = processes or Processes(images.device)
    frozen = prefix(model, model.frozen_below)
    with torch.no_grad():
        shape = (views, len(images), *frozen(images[:1]).shape[1:])

    def fill(kept: Tensor, size: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for view in range(views):
            for start in each(range(0, len(images), size), f"frozen stages, view {view + 1} of {views}, batches"):
                batch = images[start : start + size]
                seen = batch if view == 0 else augment(batch, kind, generator)
                with torch.no_grad():
                    kept[view, start : start + size] = processes.map(frozen, seen)

    def fill_all(kept: Tensor) -> None:
        halving(lambda size: fill(kept, size), batch_size, f"batches of {batch_size}")

    if folder is None:
        kept = torch.empty(shape, dtype=dtype, device=images.device)
        fill_all(kept)
        return kept
    stages = [f"{name} {model.backbone}" for name in model.stage_names[: model.frozen_below]]
    weights = [tensor for stage in model.stages[: model.frozen_below] for tensor in stage.state_dict().values()]
    # a function of one's own may have changed under the same name: what it made is never found again
    which = secrets.token_hex() if callable(kind) else kind
    facts = [torch.__version__, str(asdict(model.preprocess)), str((shape, str(dtype), which, seed, batch_size))]
    own = Path(folder) / str(processes.index) if processes.count > 1 else Path(folder)
    key = hash_of(*facts, *stages, *weights, images)
    return mapped_tensor(own, "features", key, shape, dtype, fill_all)


def keepable(state: State) -> tuple[int, int]:
    """How many fixed views of a training image the frozen stages see, and the bytes of all that they make.

    (0, 0) where nothing is frozen, or where every epoch draws fresh views.
    """
    model, views = state.model, 1 if state.augment == "none" else state.strategy.views
    if not model.frozen_below or not views:
        return 0, 0
    size = cache_bytes(model, state.train.inputs[:1], views=views * len(state.train) + len(state.val))
    return views, size * state.keeping.dtype.itemsize // torch.float32.itemsize


def no_room(size: int, folder: Path | None) -> str:
    """Why so many bytes fit neither into memory nor into the folder; "" if they do."""
    if size <= CACHE_LIMIT:
        return ""
    if folder is None:
        return f"more than transferlib.features.CACHE_LIMIT, {CACHE_LIMIT / 1e6:,.0f} MB, and no fit(cache=FOLDER)"
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    return f"{folder} has {free / 1e6:,.0f} MB free" if size > free else ""


class Feed:
    """The images of a phase, or what the frozen stages made of them."""

    def __init__(self, state: State) -> None:
        model, self.processes, self.labels = state.model, state.processes, state.train.labels
        self.kind = state.augment
        self.plain_learner = suffix(model, model.frozen_below)
        self.learner = self.processes.wrap(self.plain_learner)
        views, size = keepable(state)
        if views and (kept := self._kept(state, views, size)):
            self.inputs, self.val_inputs = kept
            self.kind = "none"
            self.prepare: Callable[[Tensor], Tensor] = lambda features: features.float()
        else:
            self.inputs, self.val_inputs = state.train.inputs[None], state.val.inputs
            self.prepare = prefix(model, model.frozen_below)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, (N, K), of a piece of a batch, in what learns."""
        return cast(Tensor, self.learner(self.prepare(inputs)))

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

    def _kept(self, state: State, views: int, size: int) -> tuple[Tensor, Tensor] | None:
        """What the frozen stages make of training and validation images, if there is a place to keep it."""
        model, train, val = state.model, state.train, state.val
        inputs = f"{views} view{'s' * (views > 1)} of {len(train)} training and {len(val)} validation inputs"
        told = f"{model.frozen_below} frozen stages run once over {inputs}: {size / 1e6:.1f} MB"
        folder = state.keeping.folder if size > CACHE_LIMIT else None
        common: dict[str, Any] = {"folder": folder, "dtype": state.keeping.dtype, "processes": state.processes}
        try:
            if why := no_room(size, state.keeping.folder):
                raise OSError(why)
            log.info("%s, to be kept in %s", told, folder or "memory")
            seen = cache_features(model, train.inputs, views=views, kind=self.kind, seed=state.run.seed, **common)
            kept = seen, cache_features(model, val.inputs, **common)[0]
        except OSError as error:
            warnings.warn(f"{told} cannot be kept: {error}. They are recomputed every epoch instead.", stacklevel=5)
            return None
        state.run.notes.append(f"{told} kept in {folder or 'memory'}")
        return kept
