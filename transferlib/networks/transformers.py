"""Vision transformers work at one resolution throughout, so their blocks are divided by depth."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from transferlib.errors import DataError
from transferlib.stages import chain


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
            told = f"this vision transformer has learned the positions of {self.image_size}×{self.image_size} pixels"
            remedy = f"Let it see them so: TransferModel(…, input_size={self.image_size})"
            raise DataError(f"{told}, not of {height}×{width}. {remedy}.")
        tokens = self.patches(images)
        if tokens.ndim == 4:
            tokens = tokens.flatten(2).transpose(1, 2)
        return torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1) + self.positions


class _ClassToken(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]
