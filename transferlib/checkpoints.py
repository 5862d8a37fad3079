"""Save a trained model whole or not at all, and load it without running anything from the file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from transferlib.errors import CheckpointError, TransferError
from transferlib.model import TransferModel
from transferlib.storage import load_tensors, save_tensors

FORMAT = 1


def save(model: TransferModel, folder: str | Path, *, classes: tuple[str, ...], **extra: Any) -> Path:
    """Write `model-HASH.safetensors` and `model.json` into `folder` and return the folder.

    The JSON names the backbone, the classes, the preprocessing and the SHA-256 of the
    weights; extra: anything else that JSON can hold, for instance image_size=96. The JSON is
    written last, so a save that is cut short leaves the previous model or none.
    Raises CheckpointError when the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    if len(classes) != model.head.out_features:
        raise CheckpointError(f"{len(classes)} class names for {model.head.out_features} outputs: they must match.")
    facts = {
        "format": FORMAT,
        "backbone": model.backbone,
        "weights": model.weights,
        "classes": list(classes),
        "frozen": model.frozen,
        "preprocess": asdict(model.preprocess),
        **extra,
    }
    save_tensors(folder, "model", model.state_dict(), facts)
    return folder


def load(folder: str | Path) -> tuple[TransferModel, dict[str, Any]]:
    """Read what `save` wrote; returns the model, in evaluation mode, and the facts beside it.

    Raises CheckpointError when a file is missing, truncated, changed, or not in this format.
    """
    folder = Path(folder)
    if folder.is_file():
        raise CheckpointError(
            f"{folder}: a file, not a folder. Pickles (.pt, .pth) are refused; give the folder that `save` wrote."
        )
    path = folder / "model.json"
    try:
        tensors, facts = load_tensors(folder, "model")
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder}: no model.json here. Give the folder that `transferlib train --out` or `save` wrote."
        ) from None
    if facts.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a model of format {FORMAT}. Save it again with this version.")
    classes = facts.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise CheckpointError(f"{path}: 'classes' is missing. Save the model again.")
    try:
        model = TransferModel(facts["backbone"], len(classes), pretrained=False)
        outputs = tensors["head.bias"].numel()
        if outputs != len(classes):
            raise CheckpointError(
                f"{folder}: the weights have {outputs} outputs, model.json names {len(classes)} classes."
            )
        model.load_state_dict(tensors)
        model.freeze_to(int(facts["frozen"]))
        model.weights = str(facts["weights"])
    except (KeyError, TypeError, RuntimeError, TransferError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder}: the weights do not fit {facts.get('backbone')!r} ({error}).") from error
    return model.eval(), facts
