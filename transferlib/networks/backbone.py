"""What every network of this folder is made into: an ordered list of stages, with its own preprocessing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from transferlib.deprecated import old_name
from transferlib.errors import DataError, TransferError, WeightsError
from transferlib.files.room import no_room
from transferlib.files.whole import digest_of

LAYER = 128  # bytes a pixel: an image as float, normalised, and a first layer of 32 channels at half the size
ROUNDING = 1e-3
AT_ONCE = 1 << 19
"""Pixels that a processor computes at a time, without gradients: 32 images of 128×128, or 10 of 224×224. The first
pass over more spends longer on getting fresh memory than its larger batches save."""


@dataclass(frozen=True)
class Preprocessing:
    """What a network does to raw inputs first."""

    def apply(self, inputs: Tensor) -> Tensor:
        """What the first stage takes, of raw inputs: images, uint8 (N, 3, H, W), or texts, uint8 (N, W)."""
        raise NotImplementedError

    def seen_at(self, input_size: int) -> Preprocessing:
        """The same for a network that sees so much of an input: pixels of an image's side, tokens of a text."""
        raise NotImplementedError

    def at_once(self, inputs: Tensor, device: torch.device) -> int:
        """How many such inputs, one or more, the device best computes at a time where nothing learns."""
        return max(1, len(inputs))

    def notes(self, inputs: Tensor) -> list[str]:
        """What somebody should hear who shows the pretrained network such inputs."""
        return []


@dataclass(frozen=True)
class Preprocess(Preprocessing):
    """What a network does to images, however large a data set keeps them.

    mean, std: of each colour (values 0…1). native_size: the side, in pixels, that the weights were trained at.
    input_size: the side at which the network sees them; None leaves them as they come.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    native_size: int
    input_size: int | None = None

    image_size = old_name("preprocess.image_size", "native_size")

    def seen_at(self, input_size: int) -> Preprocess:
        """The same with another `input_size`. Raises TransferError for one below 1."""
        if input_size < 1:
            raise TransferError(f"input_size must be at least 1 pixel, not {input_size}: {self.native_size} is native.")
        return replace(self, input_size=input_size)

    def apply(self, inputs: Tensor) -> Tensor:
        """Return (inputs - mean) / std as float, for uint8 or float in 0…1 of shape (N, 3, H, W).

        With an input_size, the shorter side is brought to it first, by bicubic interpolation with antialiasing.

        Raises DataError for another shape, type or range, and MemoryError for what no memory holds.
        """
        if inputs.ndim == 2:
            raise DataError("these are texts, and this network reads images: take minilm or another text encoder.")
        if inputs.ndim != 4 or inputs.shape[1] != 3:
            shape = tuple(inputs.shape)
            raise DataError(f"images must have the shape (N, 3, H, W), not {shape}: permute or unsqueeze.")
        count, side = inputs.shape[0], self.input_size or min(inputs.shape[2:])
        known = isinstance(count, int) and inputs.device.type == "cpu"  # an export leaves the number open
        if known and (why := no_room(side, LAYER * count)):
            raise MemoryError(f"a network that sees images of {side}×{side} pixels {why}.")
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 255
        elif not inputs.is_floating_point():
            raise DataError(f"images must be uint8 (0…255) or float (0…1), not {inputs.dtype}: call .to(torch.uint8).")
        elif inputs.numel():
            low, high = (end.item() for end in inputs.aminmax())
            if not -ROUNDING <= low <= high <= 1 + ROUNDING:  # neither is a value that is no number
                told = f"float images must lie in 0…1, not from {low:.3g} to {high:.3g}: divide by 255 or pass uint8"
                raise DataError(f"{told}, and leave Normalize out, the network brings its own.")
            inputs = inputs if inputs.dtype == torch.float64 else inputs.float()
        if self.input_size and self.input_size != min(inputs.shape[2:]):
            size = [side * self.input_size // min(inputs.shape[2:]) for side in inputs.shape[2:]]
            inputs = interpolate(inputs, size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (inputs.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (inputs - mean) / std

    def at_once(self, inputs: Tensor, device: torch.device) -> int:
        """As many as have `AT_ONCE` pixels; on a graphics card, all."""
        if device.type != "cpu" or inputs.ndim != 4:
            return super().at_once(inputs, device)
        side = self.input_size or min(inputs.shape[2:])
        return max(1, AT_ONCE // max(1, side * side))

    def notes(self, inputs: Tensor) -> list[str]:
        """That images are small for the network: below half the side that its weights were trained at."""
        side = self.input_size or min(inputs.shape[2:])
        told = (
            f"the network was trained on images of {self.native_size} pixels and sees these at {side}: it mostly "
            f"recognises more when it sees the same ones enlarged. Try input_size={self.native_size // 2} or more"
        )
        return [told] if side < self.native_size / 2 else []


@contextmanager
def large_enough(name: str, size: tuple[int, ...]) -> Iterator[None]:
    """Raise DataError where images of that height and width shrink to nothing inside a network."""
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in ("output size", "kernel size", "padding size")):
            raise
        told = f"images of {size[0]}×{size[1]} are too small for {name} ({error})"
        raise DataError(f"{told}. Let it see them larger: input_size=224, say.") from error


class NoSuchNetwork(LookupError):
    """There is no network of that name."""


class NoStages(ValueError):
    """Why a network cannot be made into stages."""


@dataclass
class Backbone:
    """A network without its classifier. What `preprocess` makes of raw inputs gives (N, features) through `stages`.

    weights: what was loaded, or "random".
    """

    name: str
    stages: nn.Sequential
    features: int
    preprocess: Preprocessing
    weights: str


def installed(package: str, problem: str, remedy: str, kind: type[TransferError] = WeightsError) -> Any:
    """Import an optional package. Raises an error of that kind, with what to install, when it is not there."""
    try:
        return import_module(package)
    except ImportError as error:
        raise kind(f"{problem}. Run: pip install {remedy}") from error


def read_weights(path: Path, sha256: str, remedy: str) -> dict[str, Tensor]:
    """Load a file of weights once its SHA-256 begins with the digits that are known."""
    check_weights(path, sha256, remedy)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def check_weights(path: Path, sha256: str, remedy: str) -> None:
    """Raise WeightsError, with the remedy, unless the file's SHA-256 begins with the digits that are known."""
    try:
        found = digest_of(path)
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read ({error}). {remedy}.") from error
    if not found.startswith(sha256):
        raise WeightsError(f"{path} is damaged or another file: its SHA-256 is {found}, not {sha256}. {remedy}.")


def unavailable(name: str, by_hand: str, cause: Exception, embedded: str = "efficientnet_lite0") -> WeightsError:
    """The error for weights that are neither here nor to be had, with three ways out."""
    told = f"the weights of {name} are not on this machine and could not be fetched ({cause})"
    ways = f"(1) connect to the internet and run again; (2) {by_hand}"
    third = f"use {embedded}, whose weights are installed with this package, or pretrained=False for random weights"
    return WeightsError(f"{told}. Three ways out: {ways}; (3) {third}.")
