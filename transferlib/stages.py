"""Where a network is cut into stages.

Every function takes a whole network and returns its layers, without the classifier, as an
ordered `nn.Sequential` of named stages. The layers are moved, never copied or changed; where a
network pools in its `forward`, a layer does it here. The chain computes exactly what the network
handed to its classifier. A stage is all layers that work at one resolution; pooling belongs to
the stage that it ends. (Transformers work at a single one: `networks.transformers` divides them by
depth.)
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from torch import nn


def chain(groups: Sequence[Iterable[nn.Module]], names: Sequence[str] = ()) -> nn.Sequential:
    """Make one stage of each group; by default they are called stem, stage1, stage2, …"""
    names = names or ["stem", *(f"stage{i}" for i in range(1, len(groups)))]
    return nn.Sequential(OrderedDict(zip(names, map(_flat, groups), strict=True)))


def _flat(modules: Iterable[nn.Module]) -> nn.Sequential:
    """One list of layers. A subclass of nn.Sequential stays whole: it may compute something else."""
    flat: list[nn.Module] = []
    for module in modules:
        flat.extend(module if type(module) is nn.Sequential else [module])
    return nn.Sequential(*flat)


def resnet(net: Any) -> nn.Sequential:
    """Cut a ResNet where its authors did: stem, layer1, …, layer4."""
    stem = [net.conv1, net.bn1, net.relu, net.maxpool]
    last = [net.layer4, net.avgpool, nn.Flatten(1)]
    names = ["stem", "layer1", "layer2", "layer3", "layer4"]
    return chain([stem, [net.layer1], [net.layer2], [net.layer3], last], names)


def vgg(net: Any) -> nn.Sequential:
    """Cut a VGG after each max-pooling; its two hidden linear layers belong to stage5."""
    blocks: list[list[nn.Module]] = [[]]
    for layer in net.features:
        blocks[-1].append(layer)
        if isinstance(layer, nn.MaxPool2d):
            blocks.append([])
    blocks[-2] += [net.avgpool, nn.Flatten(1), *net.classifier[:-1]]
    return chain(blocks[:-1], [f"stage{i}" for i in range(1, len(blocks))])


def features_list(net: Any, cuts: Sequence[int]) -> nn.Sequential:
    """Cut `net.features`, one long list, in front of each index in `cuts`."""
    groups = [list(net.features[a:b]) for a, b in pairwise([0, *cuts, len(net.features)])]
    # ConvNeXt flattens at the beginning of its own classifier.
    flatten = [] if any(isinstance(m, nn.Flatten) for m in net.classifier) else [nn.Flatten(1)]
    groups[-1] += [nn.AdaptiveAvgPool2d(1), *flatten, *net.classifier[:-1]]
    return chain(groups)


def lite0(net: Any) -> nn.Sequential:
    """Cut timm's EfficientNet-Lite0, whose seven rows of blocks work at five resolutions."""
    b = net.blocks
    last = [b[5], b[6], net.conv_head, net.bn2, net.global_pool]
    return chain([[net.conv_stem, net.bn1, b[0]], [b[1]], [b[2]], [b[3], b[4]], last])
