"""Networks of torchvision: its weights enum knows the address, the preprocessing and the start of the hash."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from transferlib import stages
from transferlib.errors import DownloadError
from transferlib.files.download import fetch
from transferlib.networks.backbone import Backbone, Preprocess, read_weights, unavailable
from transferlib.networks.transformers import torchvision_vit

CUTS: dict[str, Callable[[Any], nn.Sequential]] = {
    "resnet18": stages.resnet,
    "resnet34": stages.resnet,
    "resnet50": stages.resnet,
    "vgg11_bn": stages.vgg,
    "vgg16": stages.vgg,
    "mobilenet_v2": partial(stages.features_list, cuts=(2, 4, 7, 14)),
    "mobilenet_v3_small": partial(stages.features_list, cuts=(1, 2, 4, 9)),
    "efficientnet_b0": partial(stages.features_list, cuts=(2, 3, 4, 6)),
    "convnext_tiny": partial(stages.features_list, cuts=(1, 2, 4, 6)),
    "vit_b_16": torchvision_vit,
}


def build(name: str, pretrained: bool) -> Backbone:
    """A network of `CUTS`. Raises WeightsError when its weights are damaged or cannot be fetched."""
    weights = torchvision.models.get_model_weights(name).DEFAULT
    net = torchvision.models.get_model(name)
    if pretrained:
        net.load_state_dict(_torchvision_weights(name, weights.url))
    features = [module.in_features for module in net.modules() if isinstance(module, nn.Linear)][-1]
    expects = weights.transforms()
    preprocess = Preprocess(tuple(expects.mean), tuple(expects.std), expects.crop_size[0])
    return Backbone(name, CUTS[name](net), features, preprocess, str(weights) if pretrained else "random")


def _torchvision_weights(name: str, url: str) -> dict[str, Tensor]:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    sha256 = path.stem.rpartition("-")[2]  # resnet18-f37072fd.pth: the first eight digits
    if not path.exists():
        try:
            fetch(url, path, sha256=sha256)
        except DownloadError as error:
            raise unavailable(name, f"put {url} at {path} by hand", error) from error
    return read_weights(path, sha256, "Delete it and run again to fetch it anew")
