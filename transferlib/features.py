"""What is frozen needs to be computed only once."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from transferlib.data.transforms import augment
from transferlib.errors import TransferError
from transferlib.model import TransferModel


@torch.no_grad()
def batched(function: Callable[[Tensor], Tensor], inputs: Tensor, batch_size: int = 64) -> Tensor:
    """Apply `function` to `inputs`, (N, …), a batch at a time and without gradients."""
    return torch.cat([function(batch) for batch in torch.split(inputs, batch_size)])


def prefix(model: TransferModel, stages: int) -> Callable[[Tensor], Tensor]:
    """From images, (N, 3, H, W), to what comes out of the first `stages` stages."""
    body = model.stages[:stages]
    return lambda images: cast(Tensor, body(model.preprocess.apply(images)))


def suffix(model: TransferModel, stages: int) -> nn.Module:
    """From what comes out of the first `stages` stages to logits, (N, num_classes)."""
    return nn.Sequential(*model.stages[stages:], model.head)


def cache_bytes(model: TransferModel, images: Tensor, *, views: int = 1) -> int:
    """How many bytes `cache_features` will keep, found out by running a single image."""
    with torch.no_grad():
        return prefix(model, model.frozen)(images[:1]).nbytes * len(images) * views


def cache_features(
    model: TransferModel, images: Tensor, *, views: int = 1, kind: str = "none", seed: int = 0, batch_size: int = 64
) -> Tensor:
    """Run the frozen stages once over `views` views of each image and return what comes out.

    images: uint8, (N, 3, H, W). Returns (views, N, …). A frozen stage is in evaluation mode,
    so an image's activations depend on nothing but the image: training on them gives what
    training with the stages in place would give. The first view is the image as it is; the
    others are random ones of the given kind (see `augment`), drawn once, not every epoch.
    """
    if not model.frozen:
        raise TransferError(
            f"no stage of {model.backbone} is frozen, so nothing can be computed once: freeze_to first."
        )
    run = prefix(model, model.frozen)
    generator = torch.Generator().manual_seed(seed)
    seen = [batched(run, images, batch_size)]
    for _ in range(views - 1):
        seen.append(batched(lambda batch: run(augment(batch, kind, generator)), images, batch_size))
    return torch.stack(seen)
