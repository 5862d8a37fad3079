"""How much a data set has in common with what a network already knows, measured before anything is trained."""

import math
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from transferlib.data.splits import Split
from transferlib.engine.memory import batched
from transferlib.errors import DataError
from transferlib.features import extract_features
from transferlib.model import TransferModel

MOST = 2000  # images that are measured
SEEN = 128
"""Side, in pixels, at which a network sees images when nobody gives one: on the map, and here."""


@dataclass(frozen=True)
class Similarity:
    """What a set of training images says about itself, before anything is trained.

    features, pixels: how often an image's nearest neighbour is of its class, by frozen features and
    by pixels, from 0 (guessing) to 1; neighbours of the image's own group do not count. shift: how far
    the images' averages in the network's BatchNorm layers are from the source's, in standard deviations;
    nan without BatchNorm.
    """

    images: int
    classes: int
    features: float
    pixels: float
    shift: float

    @property
    def images_per_class(self) -> float:
        """The mean number of training images of a class."""
        return self.images / self.classes


def similarity(split: Split, classes: int, model: TransferModel | None = None) -> Similarity:
    """Measure training images with a pretrained network (the embedded one, at SEEN pixels, if none is given)."""
    if len(split) < 4:
        raise DataError(f"{len(split)} images are too few to measure: give at least 4.")
    model = model or TransferModel("efficientnet_lite0", 2, input_size=SEEN)
    part = sample(split)
    table, shift = frozen_features(model, part.images)
    pixels = batched(lambda images: adaptive_avg_pool2d(images.float(), 16).flatten(1), part.images)
    near, by_pixels = (_neighbours(columns, part, classes) for columns in (table, pixels - pixels.mean(0)))
    return Similarity(len(split), classes, near, by_pixels, shift)


def sample(split: Split) -> Split:
    """At most MOST images of a split, drawn at random, the same ones every time."""
    return split[torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:MOST]]


def _neighbours(table: Tensor, split: Split, classes: int) -> float:
    """Leave-one-out accuracy of the nearest neighbour by cosine, beyond chance."""
    unit = normalize(table.float())
    likeness = unit @ unit.T
    likeness[split.groups[:, None] == split.groups[None]] = -2.0
    right = split.labels[likeness.argmax(1)] == split.labels
    shares = torch.bincount(split.labels, minlength=classes) / len(split)
    chance = shares.square().sum().item()
    return (right.float().mean().item() - chance) / (1 - chance)


def frozen_features(model: TransferModel, images: Tensor) -> tuple[Tensor, float]:
    """What the head would see, (N, features), and the mean shift of the BatchNorm layers' inputs."""
    found: list[float] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        x, mean, var = given[0], layer.running_mean, layer.running_var
        assert isinstance(mean, Tensor) and isinstance(var, Tensor)
        places = [0, *range(2, x.ndim)]
        found.append(((x.mean(places) - mean).abs() / (var + 1e-5).sqrt()).mean().item())

    with ExitStack() as hooks:
        for module in model.stages.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                hooks.enter_context(module.register_forward_pre_hook(note))
        table = extract_features(model, images)
    return table, float(np.mean(found)) if found else math.nan
