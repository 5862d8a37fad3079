"""A network by its name."""

import difflib
from importlib import import_module

import torch

from transferlib.errors import WeightsError
from transferlib.networks import NETWORKS
from transferlib.networks.backbone import Backbone, NoStages, NoSuchNetwork

PREFIXES = {"timm": "timm", "hf": "encoders"}
"""The module that builds what a prefix stands before: any network of timm, any text encoder of the hub."""


def list_backbones() -> tuple[str, ...]:
    """Return the registered names.

    Any other network of timm is "timm:" and its name there; any other text encoder is "hf:" and its
    name on the Hugging Face hub, or a folder that holds one.
    """
    return tuple(NETWORKS)


def build_backbone(name: str, *, pretrained: bool = True, seed: int = 0) -> Backbone:
    """Build a backbone by name, its stages in evaluation mode.

    With pretrained=False the weights are random, drawn from `seed`; the global random state
    stays as it was. Raises WeightsError for a name that does not exist and for weights that
    are missing, damaged or cannot be fetched: nothing falls back to random weights.
    """
    module = PREFIXES.get(name.partition(":")[0]) if ":" in name else NETWORKS.get(name)
    if module is None:
        raise _unknown(name)
    build = import_module(f"transferlib.networks.{module}").build
    # Only the CPU's generator draws weights; torch.manual_seed would reset those of the GPUs too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            backbone: Backbone = build(name, pretrained)
        except NoSuchNetwork:
            raise _unknown(name) from None
        except NoStages as error:
            raise WeightsError(f"{name} cannot be a backbone: {error}. Choose another network.") from error
    backbone.stages.eval()
    return backbone


def _unknown(name: str) -> WeightsError:
    import timm

    names = {n: f"timm:{n}" for n in timm.list_models()} | {n: n for n in NETWORKS}
    close = [names[n] for n in difflib.get_close_matches(name.removeprefix("timm:"), names, n=5)]
    told = f"there is no backbone called {name!r}. Close to it: {', '.join(close) or 'nothing'}"
    others = "others as timm:<name>, see timm.list_models(), or, for text, as hf:<name>"
    return WeightsError(f"{told}. Registered: {', '.join(NETWORKS)}; {others}.")
