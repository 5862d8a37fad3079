"""Where a network is cut into stages.

Every function takes a whole network and returns its layers, without the classifier, as an
ordered `nn.Sequential` of named stages. The layers are moved, never copied or changed, and
the chain computes exactly what the network handed to its classifier. A stage is all layers
that work at one resolution; pooling belongs to the stage that it ends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from transferlib.errors import DataError


def chain(groups: Sequence[Iterable[nn.Module]], names: Sequence[str] = ()) -> nn.Sequential:
    """Make one stage of each group; by default they are called stem, stage1, stage2, …"""
    names = names or ["stem", *(f"stage{i}" for i in range(1, len(groups)))]
    return nn.Sequential(OrderedDict(zip(names, map(_flat, groups), strict=True)))


def _flat(modules: Iterable[nn.Module]) -> nn.Sequential:
    flat: list[nn.Module] = []
    for module in modules:
        flat.extend(module if type(module) is nn.Sequential else [module])
    return nn.Sequential(*flat)


# Convolutional families of torchvision, and EfficientNet-Lite0.


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
    flatten = [] if any(isinstance(m, nn.Flatten) for m in net.classifier) else [nn.Flatten(1)]
    groups[-1] += [nn.AdaptiveAvgPool2d(1), *flatten, *net.classifier[:-1]]
    return chain(groups)


def lite0(net: Any) -> nn.Sequential:
    """Cut timm's EfficientNet-Lite0, whose seven rows of blocks work at five resolutions."""
    b = net.blocks
    last = [b[5], b[6], net.conv_head, net.bn2, net.global_pool]
    return chain([[net.conv_stem, net.bn1, b[0]], [b[1]], [b[2]], [b[3], b[4]], last])


# Vision transformers: one resolution throughout, so the blocks are divided by depth.


def torchvision_vit(net: Any) -> nn.Sequential:
    """Cut torchvision's ViT into its stem and four quarters of its blocks."""
    tokens = _Tokens(net.conv_proj, net.class_token, net.encoder.pos_embedding, net.image_size)
    return _quarters([tokens, net.encoder.dropout], net.encoder.layers, [net.encoder.ln, _ClassToken()])


def timm_vit(net: Any, images: Tensor) -> nn.Sequential:
    """Propose the same for timm's ViT; holds for those that classify by a class token."""
    tokens = _Tokens(net.patch_embed, net.cls_token, net.pos_embed, images.shape[-1])
    stem = [tokens, net.pos_drop, net.patch_drop, net.norm_pre]
    return _quarters(stem, net.blocks, [net.norm, _ClassToken(), net.fc_norm, net.head_drop])


def _quarters(stem: list[nn.Module], blocks: Sequence[nn.Module], tail: list[nn.Module]) -> nn.Sequential:
    groups = [list(blocks[a:b]) for a, b in pairwise(len(blocks) * i // 4 for i in range(5))]
    return chain([stem, *groups[:-1], groups[-1] + tail])


class _Tokens(nn.Module):
    """Patches as tokens, the class token before them, positions added: (N, 3, H, W) to (N, 1 + patches, C)."""

    def __init__(self, patches: nn.Module, class_token: Tensor, positions: Tensor, image_size: int) -> None:
        super().__init__()
        self.patches, self.class_token, self.positions = patches, class_token, positions
        self.image_size = image_size

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if height != self.image_size or width != self.image_size:
            raise DataError(
                f"this vision transformer has learned the positions of {self.image_size}×{self.image_size} pixels, "
                f"not of {height}×{width}. Load the images with image_size={self.image_size}."
            )
        tokens = self.patches(images)
        if tokens.ndim == 4:
            tokens = tokens.flatten(2).transpose(1, 2)
        return torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1) + self.positions


class _ClassToken(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


# Any network of timm: propose, and keep what computes the same features to the last bit.


@torch.no_grad()
def propose_and_verify(net: Any, images: Tensor) -> tuple[nn.Sequential, int]:
    """Cut a network of timm, in evaluation mode, and return its stages and feature size.

    images: (N, 3, H, W), of the network's own size. What cannot be cut becomes one stage, "body".
    Raises ValueError for a network that has no pooled features of shape (N, features).
    """
    wanted = net.forward_head(net.forward_features(images), pre_logits=True)
    net.reset_classifier(0)
    for propose in (timm_vit, by_resolution, _whole):
        try:
            stages = propose(net, images)
            exact = torch.equal(stages(images), wanted) and set(stages.parameters()) == set(net.parameters())
        except Exception:  # of any kind: the proposal does not fit this network
            continue
        if exact and wanted.ndim == 2:
            return stages, wanted.shape[1]
    raise ValueError("it has no pooled features in front of its classifier")


def by_resolution(net: Any, images: Tensor) -> nn.Sequential:
    """Propose the network's parts in their order, where each part that shrinks the image begins a stage.

    A pooling layer without parameters ends its stage instead; so does a stem that shrinks fourfold.
    """
    groups: list[list[nn.Module]] = [[]]
    x, ended = images, False
    for name, part in net.named_children():
        for layer in part if type(part) is nn.Sequential else [part]:
            before, x = _resolution(x), layer(x)
            shrinks, learns = 1 < _resolution(x) < before, _learns(layer)
            if (ended or (shrinks and learns)) and any(map(_learns, groups[-1])):
                groups.append([])
            groups[-1].append(layer)
            ended = shrinks and not learns
        ended |= name in ("stem", "patch_embed") and _resolution(x) * 4 <= _resolution(images)
    return chain(groups)


def _resolution(x: Tensor) -> int:
    """A side of (N, C, H, W) and (N, H, W, C) alike; 1 for anything else, which is pooled or has no grid."""
    return x.shape[2] if x.ndim == 4 else 1


def _learns(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _whole(net: Any, images: Tensor) -> nn.Sequential:
    return chain([[_Whole(net)]], ["body"])


class _Whole(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net.forward_head(self.net.forward_features(images), pre_logits=True)
        return features
