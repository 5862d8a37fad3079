"""What every network of this folder is made into: an ordered list of stages, with its own preprocessing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from transferlib.deprecated import old_name
from transferlib.errors import DataError, TransferError, WeightsError
from transferlib.files.whole import digest_of


@dataclass(frozen=True)
class Preprocessing:
    """What a network does to raw inputs first."""

    def apply(self, inputs: Tensor) -> Tensor:
        """What the first stage takes, of raw inputs: images, uint8 (N, 3, H, W), or texts, uint8 (N, W)."""
        raise NotImplementedError

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

        Raises DataError for another shape or type.
        """
        if inputs.ndim != 4 or inputs.shape[1] != 3:
            raise DataError(
                f"images must have the shape (N, 3, H, W), not {tuple(inputs.shape)}: permute or unsqueeze."
            )
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 255
        elif not inputs.is_floating_point():
            raise DataError(f"images must be uint8 (0…255) or float (0…1), not {inputs.dtype}: call .to(torch.uint8).")
        if self.input_size and self.input_size != min(inputs.shape[2:]):
            size = [side * self.input_size // min(inputs.shape[2:]) for side in inputs.shape[2:]]
            inputs = interpolate(inputs, size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (inputs.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (inputs - mean) / std

    def notes(self, inputs: Tensor) -> list[str]:
        """That images are small for the network: below half the side that its weights were trained at."""
        side = self.input_size or min(inputs.shape[2:])
        told = (
            f"the network was trained on images of {self.native_size} pixels and sees these at {side}: it mostly "
            f"recognises more when it sees the same ones enlarged. Try input_size={self.native_size // 2} or more"
        )
        return [told] if side < self.native_size / 2 else []


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
    return WeightsError(
        f"the weights of {name} are not on this machine and could not be fetched ({cause}). Three ways out: "
        f"(1) connect to the internet and run again; (2) {by_hand}; (3) use {embedded}, whose weights are "
        "installed with this package, or pretrained=False for random weights."
    )
