"""Save a trained model whole or not at all, and load it without running anything from the file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from transferlib.errors import CheckpointError, TransferError
from transferlib.files.tensors import load_tensors, save_tensors
from transferlib.model import TransferModel

FORMAT = 1


def save(model: TransferModel, folder: str | Path, *, classes: tuple[str, ...], **extra: Any) -> Path:
    """Write `model-HASH.safetensors` and `model.json` into `folder` and return the folder.

    The JSON names the backbone, the classes, the preprocessing and the SHA-256 of the
    weights; extra: anything else that JSON can hold, for instance image_size=96. The JSON is
    written last, so a save that is cut short leaves the previous model or none.
    Raises CheckpointError when the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    if len(classes) != model.num_classes:
        raise CheckpointError(f"{len(classes)} class names for {model.num_classes} outputs: they must match.")
    facts = {
        "format": FORMAT,
        "backbone": model.backbone,
        "weights": model.weights,
        "classes": list(classes),
        "head": "linear" if type(model.head) is nn.Linear else " ".join(repr(model.head).split()),
        "frozen": model.frozen_below,
        "frozen_above": model.frozen_above,
        "preprocess": asdict(model.preprocess),
        **extra,
    }
    save_tensors(folder, "model", model.state_dict(), facts)
    return folder


def load(folder: str | Path, *, head: nn.Module | None = None) -> tuple[TransferModel, dict[str, Any]]:
    """Read what `save` wrote; returns the model, in evaluation mode, and the facts beside it.

    head: for a model with a head of your own, one built like it; its weights are loaded.
    Raises CheckpointError when a file is missing, truncated, changed, or not in this format.
    """
    folder = Path(folder)
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file. Give the folder that `save` wrote; pickles are refused.")
    path = folder / "model.json"
    try:
        tensors, facts = load_tensors(folder, "model")
    except FileNotFoundError:
        told = f"{folder}: no model.json here"
        raise CheckpointError(f"{told}. Give the folder that `transferlib train --out` or `save` wrote.") from None
    if facts.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a model of format {FORMAT}. Save it again with this version.")
    classes = facts.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise CheckpointError(f"{path}: 'classes' is missing. Save the model again.")
    try:
        size = facts["preprocess"].get("input_size") or facts["preprocess"].get("length")
        model = TransferModel(facts["backbone"], len(classes), pretrained=False, head=head, input_size=size)
        own = facts.get("head", "linear")
        if own != "linear" and head is None:
            raise CheckpointError(f"{folder} has a head of its own, {own}: give one like it, load(…, head=…).")
        outputs = len(classes) if head else tensors["head.bias"].numel()
        if outputs != len(classes):
            raise CheckpointError(f"{folder}: weights of {outputs} outputs, model.json names {len(classes)} classes.")
        model.load_state_dict(tensors)
        model.freeze_to(int(facts["frozen"]), above=int(facts.get("frozen_above", 0)))
        model.weights = str(facts["weights"])
    except (KeyError, TypeError, RuntimeError, TransferError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder}: the weights do not fit {facts.get('backbone')!r} ({error}).") from error
    return model.eval(), facts
