"""What is frozen needs to be computed only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from transferlib.data.transforms import augment
from transferlib.errors import TransferError
from transferlib.model import TransferModel
from transferlib.parallel import Processes
from transferlib.storage import hash_of, log, mapped_tensor

T = TypeVar("T")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: a GPU's, or torch's allocator for the processor."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "not enough memory" in str(error))
    )


def halving(action: Callable[[int], T], size: int, told: str = "a batch") -> T:
    """`action(size)`, and with half the size whenever memory runs out, down to a size of 1."""
    while True:
        try:
            return action(size)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or size == 1:
                raise
        size = -(-size // 2)
        log.warning("out of memory: going on with %d images instead of %s", size, told)


@torch.no_grad()
def batched(function: Callable[[Tensor], Tensor], inputs: Tensor, batch_size: int = 32) -> Tensor:
    """Apply `function` to `inputs`, (N, …), a batch at a time and without gradients."""
    return halving(
        lambda size: torch.cat([function(batch) for batch in torch.split(inputs, size)]),
        batch_size,
        f"batches of {batch_size}",
    )


def prefix(model: TransferModel, stages: int) -> Callable[[Tensor], Tensor]:
    """From raw inputs, images or texts, to what comes out of the first `stages` stages."""
    body = model.stages[:stages]
    return lambda inputs: cast(Tensor, body(model.preprocess.apply(inputs)))


def suffix(model: TransferModel, stages: int) -> nn.Module:
    """From what comes out of the first `stages` stages to logits, (N, num_classes)."""
    return nn.Sequential(*model.stages[stages:], model.head)


def cache_bytes(model: TransferModel, images: Tensor, *, views: int = 1) -> int:
    """How many bytes `cache_features` will keep, found out by running a single image."""
    with torch.no_grad():
        return prefix(model, model.frozen)(images[:1]).float().nbytes * len(images) * views


def cache_features(
    model: TransferModel,
    images: Tensor,
    *,
    views: int = 1,
    kind: str = "none",
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
    if not model.frozen:
        raise TransferError(
            f"no stage of {model.backbone} is frozen, so nothing can be computed once: freeze_to first."
        )
    processes = processes or Processes(images.device)
    run = prefix(model, model.frozen)
    with torch.no_grad():
        shape = (views, len(images), *run(images[:1]).shape[1:])

    def fill(kept: Tensor, size: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for view in range(views):
            for start in range(0, len(images), size):
                batch = images[start : start + size]
                seen = batch if view == 0 else augment(batch, kind, generator)
                with torch.no_grad():
                    kept[view, start : start + size] = processes.map(run, seen)

    def fill_all(kept: Tensor) -> None:
        halving(lambda size: fill(kept, size), batch_size, f"batches of {batch_size}")

    if folder is None:
        kept = torch.empty(shape, dtype=dtype, device=images.device)
        fill_all(kept)
        return kept
    stages = [f"{name} {model.backbone}" for name in model.stage_names[: model.frozen]]
    weights = [tensor for stage in model.stages[: model.frozen] for tensor in stage.state_dict().values()]
    facts = [torch.__version__, str(asdict(model.preprocess)), str((shape, str(dtype), kind, seed, batch_size))]
    own = Path(folder) / str(processes.index) if processes.count > 1 else Path(folder)
    key = hash_of(*facts, *stages, *weights, images)
    return mapped_tensor(own, "features", key, shape, dtype, fill_all)
