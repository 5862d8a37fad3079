"""Networks of torchvision: its weights enum knows the address, the preprocessing and the start of the hash."""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from transferlib import stages
from transferlib.errors import DownloadError
from transferlib.files.download import fetch
from transferlib.networks import CUTS
from transferlib.networks.backbone import Backbone, Preprocess, read_weights, unavailable
from transferlib.networks.transformers import torchvision_vit

FAMILIES = {"resnet": stages.resnet, "vgg": stages.vgg, "vit": torchvision_vit}


def build(name: str, pretrained: bool) -> Backbone:
    """A network of `CUTS`. Raises WeightsError when its weights are damaged or cannot be fetched."""
    weights = torchvision.models.get_model_weights(name).DEFAULT
    net = torchvision.models.get_model(name)
    if pretrained:
        net.load_state_dict(_torchvision_weights(name, weights.url))
    features = [module.in_features for module in net.modules() if isinstance(module, nn.Linear)][-1]
    expects = weights.transforms()
    preprocess = Preprocess(tuple(expects.mean), tuple(expects.std), expects.crop_size[0])
    cut = CUTS[name]
    parts = FAMILIES[cut](net) if isinstance(cut, str) else stages.features_list(net, cut)
    return Backbone(name, parts, features, preprocess, str(weights) if pretrained else "random")


def _torchvision_weights(name: str, url: str) -> dict[str, Tensor]:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    sha256 = path.stem.rpartition("-")[2]  # resnet18-f37072fd.pth: the first eight digits
    if not path.exists():
        try:
            fetch(url, path, digest=sha256)
        except DownloadError as error:
            raise unavailable(name, f"put {url} at {path} by hand", error) from error
    return read_weights(path, sha256, "Delete it and run again to fetch it anew")
