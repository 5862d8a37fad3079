"""Any network of timm: weights from the hub's safetensors, stages proposed from the structure and verified."""

import warnings
from typing import Any

import huggingface_hub
import timm
import torch
from torch import Tensor, nn

from transferlib.errors import WeightsError
from transferlib.networks.backbone import Backbone, NoStages, NoSuchNetwork, Preprocess, unavailable
from transferlib.networks.transformers import timm_vit
from transferlib.stages import chain


def build(name: str, pretrained: bool) -> Backbone:
    """A network of timm, "timm:" and its name. Raises NoSuchNetwork, NoStages and WeightsError."""
    timm_name = name.removeprefix("timm:")
    try:
        config: Any = timm.models.get_pretrained_cfg(timm_name)
    except RuntimeError as error:  # the part after the dot is not a set of weights that timm knows
        remedy = f"List them with timm.list_pretrained('{timm_name.split('.')[0]}*')."
        raise WeightsError(f"{name}: {error} {remedy}") from error
    if config is None:
        raise NoSuchNetwork(name)
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
        raise unavailable(name, by_hand, error) from error
    expects = net.pretrained_cfg
    preprocess = Preprocess(tuple(expects["mean"]), tuple(expects["std"]), expects["input_size"][-1])
    cut, features = propose_and_verify(net, torch.rand(2, *expects["input_size"]))
    if len(cut) == 1:
        found = f"{name} could not be cut into stages, so it is a single one, 'body'"
        allowed = "it can only be frozen, unfrozen and given a learning rate as a whole"
        warnings.warn(f"{found}: {allowed}. Choose another network if you need stages.", UserWarning, stacklevel=3)
    return Backbone(name, cut, features, preprocess, config.hf_hub_id if pretrained else "random")


@torch.no_grad()
def propose_and_verify(net: Any, images: Tensor) -> tuple[nn.Sequential, int]:
    """Cut a network of timm, in evaluation mode, and return its stages and feature size.

    images: (N, 3, H, W), of the network's own size. What cannot be cut becomes one stage, "body".
    Raises NoStages for a network that has no pooled features of shape (N, features).
    """
    whole = _Whole(net)
    wanted = whole(images)
    net.reset_classifier(0)
    for propose in (timm_vit, by_resolution, lambda *_: chain([[whole]], ["body"])):
        try:
            stages = propose(net, images)
            exact = torch.equal(stages(images), wanted) and set(stages.parameters()) == set(net.parameters())
        except Exception:  # of any kind: the proposal does not fit this network
            continue
        if exact and wanted.ndim == 2:
            return stages, wanted.shape[1]
    raise NoStages("it has no pooled features in front of its classifier")


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


class _Whole(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net.forward_head(self.net.forward_features(images), pre_logits=True)
        return features
