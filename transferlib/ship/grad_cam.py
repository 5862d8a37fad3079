"""Where in an image a network found its evidence."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import Permute

from transferlib.errors import DataError, TransferError
from transferlib.model import TransferModel, evaluating


def grad_cam(
    model: TransferModel, images: Tensor, target: int | Tensor | None = None, *, batch_size: int = 32
) -> Tensor:
    """How much each place of each image speaks for a class: float32, (N, H, W), in [0, 1], on the CPU.

    images: uint8 or float in 0…1, (N, 3, H, W). target: one class for all images, or one for each,
    (N,); None takes the class that the model itself finds most probable.

    Grad-CAM (Selvaraju et al. 2017), computed by Captum: the channels of the last layer that
    still has height and width, each weighted by the mean of the class's gradient over it, added
    up, negative values cut off. It is resampled bilinearly to the images' size and divided by
    its largest value, so maps of different images cannot be compared in strength. A map of zeros
    means that no place speaks for the class.

    The layer's grid is coarse, about 32 pixels a cell in most networks. What is frozen makes no
    difference, and the model is left as it was. Raises DataError for images or targets that do
    not fit, and TransferError for a network without such a layer (a vision transformer passes
    on tokens).
    """
    from captum.attr import LayerGradCam

    first = model.image_preprocess.apply(images[:1])  # refuses what is not a batch of images
    targets = _targets(target, len(images), model.num_classes)
    height, width = images.shape[2:]
    if not len(images):
        return torch.zeros(0, height, width)
    maps = []
    with evaluating(model):
        below, above = _cut(model, first.to(model.device))
        # Captum hooks the layer it explains. This one is ours, so no hook ever touches the model; and since
        # it is asked for gradients of the activations only, nothing below them, frozen or not, matters.
        # What follows gets a copy: a layer that works in place must not change what Captum keeps.
        tap = nn.Identity()
        explain: Any = LayerGradCam(lambda x: above(tap(x).clone()), tap)
        for start in range(0, len(images), batch_size):
            batch = slice(start, start + batch_size)
            with torch.no_grad():
                activations = below(model.image_preprocess.apply(images[batch]).to(model.device))
                chosen = above(activations.clone()).argmax(1) if targets is None else targets[batch].to(model.device)
            found = explain.attribute(activations.requires_grad_(), target=chosen, relu_attributions=True)
            maps.append(found.detach().float().cpu())
    large = nn.functional.interpolate(torch.cat(maps), (height, width), mode="bilinear")[:, 0]
    return large / large.amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(large.dtype).tiny)


def overlay(images: Tensor, maps: Tensor, *, strength: float = 0.5) -> Tensor:
    """Blend images with the colours of their maps: uint8, (N, 3, H, W); dark blue is 0, yellow is 1.

    images: uint8, (N, 3, H, W). maps: (N, H, W) in [0, 1], as `grad_cam` gives them. strength:
    the share of the colours, 0…1. Raises DataError when the two do not fit together.
    """
    from matplotlib import colormaps

    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise DataError(f"images must be uint8 of shape (N, 3, H, W), not {images.dtype}, {tuple(images.shape)}.")
    if maps.shape != (len(images), *images.shape[2:]):
        found = f"maps of shape {tuple(maps.shape)} do not fit images of shape {tuple(images.shape)}"
        raise DataError(f"{found}: take the maps that grad_cam gives for these images.")
    if not 0 <= strength <= 1:
        raise DataError(f"strength must be in [0, 1], not {strength}.")
    colours = torch.from_numpy(colormaps["plasma"](maps.cpu().numpy())[..., :3]).permute(0, 3, 1, 2) * 255
    blend = (1 - strength) * images.cpu() + strength * colours
    return blend.round().clamp(0, 255).to(torch.uint8)


def _targets(target: int | Tensor | None, n: int, k: int) -> Tensor | None:
    if target is None:
        return None
    targets = torch.as_tensor(target)
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise DataError(f"target must be a whole number or whole numbers, not {targets.dtype}: give class indices.")
    if targets.ndim == 0:
        targets = targets.expand(n)
    if targets.shape != (n,):
        raise DataError(f"target has the shape {tuple(targets.shape)}, but there are {n} images: give one class each.")
    if n and not 0 <= int(targets.min()) <= int(targets.max()) < k:
        raise DataError(f"target reaches from {int(targets.min())} to {int(targets.max())}; the classes are 0…{k - 1}.")
    return targets.long().cpu()


@torch.no_grad()
def _cut(model: TransferModel, image: Tensor) -> tuple[nn.Module, nn.Module]:
    """What leads to the last map, (N, C, h, w), and what follows it."""
    layers = [layer for stage in model.stages for layer in (stage if isinstance(stage, nn.Sequential) else [stage])]
    layers.append(model.head)
    cut, channels_last, x = 0, False, image
    for index, layer in enumerate(layers, start=1):
        x = layer(x)
        # VGG's adaptive pooling blows a single cell up to a grid that says nothing about places.
        if x.ndim == 4 and not isinstance(layer, nn.AdaptiveAvgPool2d):
            grid_first = _grid_first(x, image)
            if min(x.shape[1:3] if grid_first else x.shape[2:]) > 1:
                cut, channels_last = index, grid_first
    if not cut:
        told = f"{model.backbone} has no map for Grad-CAM with images of {image.shape[2]}×{image.shape[3]}"
        why = "its layers pass on no grid of places (a vision transformer passes on tokens)"
        raise TransferError(f"{told}: {why}. Use a convolutional network, say efficientnet_lite0, or larger images.")
    if channels_last:
        return nn.Sequential(*layers[:cut], Permute([0, 3, 1, 2])), nn.Sequential(Permute([0, 2, 3, 1]), *layers[cut:])
    return nn.Sequential(*layers[:cut]), nn.Sequential(*layers[cut:])


def _grid_first(x: Tensor, image: Tensor) -> bool:
    """Whether x is (N, h, w, C), as Swin's maps are: its first two sides are like the image's, its last two are not."""
    height, width = image.shape[2:]
    like_the_image = [abs(h * width / height - w) <= 1 for h, w in pairwise(x.shape[1:])]
    return like_the_image == [True, False]
