"""A network to train from scratch."""

from itertools import pairwise

from torch import nn

from transferlib.errors import WeightsError
from transferlib.networks.backbone import Backbone, Preprocess
from transferlib.stages import chain


def build(name: str, pretrained: bool) -> Backbone:
    """Five convolutional stages. Raises WeightsError when it is to be pretrained: nobody has."""
    if pretrained:
        raise WeightsError(f"{name} has no pretrained weights: it is there to train from scratch, pretrained=False.")
    widths = (16, 32, 48, 80, 128)

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    groups = [block(3, widths[0], stride=2)]
    groups += [block(i, o, stride=2) + block(o, o, stride=1) for i, o in pairwise(widths)]
    groups[-1] += [nn.AdaptiveAvgPool2d(1), nn.Flatten(1)]
    return Backbone(name, chain(groups), widths[-1], Preprocess((0.5,) * 3, (0.25,) * 3, 96), "random")
