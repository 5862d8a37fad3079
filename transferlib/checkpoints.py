"""Save a trained model whole or not at all, and load it without running anything from the file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensors_to_bytes

from transferlib.errors import CheckpointError, TransferError
from transferlib.model import TransferModel

FORMAT = 1


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def save(model: TransferModel, folder: str | Path, *, classes: tuple[str, ...], **extra: Any) -> Path:
    """Write `model.safetensors` and `model.json` into `folder` and return the folder.

    The JSON names the backbone, the classes, the preprocessing and the SHA-256 of the
    weights; extra: anything else that JSON can hold, for instance image_size=96. The JSON is
    written last, so a save that is cut short leaves the previous model or none.
    Raises CheckpointError when the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    if len(classes) != model.head.out_features:
        raise CheckpointError(f"{len(classes)} class names for {model.head.out_features} outputs: they must match.")
    content = tensors_to_bytes({name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()})
    digest = hashlib.sha256(content).hexdigest()
    facts = {
        "format": FORMAT,
        "backbone": model.backbone,
        "weights": model.weights,
        "classes": list(classes),
        "frozen": model.frozen,
        "preprocess": asdict(model.preprocess),
        "file": f"model-{digest[:16]}.safetensors",
        "sha256": digest,
        **extra,
    }
    try:
        write_atomically(folder / facts["file"], content)
        write_atomically(folder / "model.json", json.dumps(facts, indent=2).encode())
    except OSError as error:
        raise CheckpointError(
            f"{folder}: the model could not be saved ({error.strerror or error}). Nothing was overwritten; "
            "free some space or choose another folder."
        ) from error
    for old in folder.glob("model-*.safetensors"):
        if old.name != facts["file"]:
            old.unlink()
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
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder}: no model.json here. Give the folder that `transferlib train --out` or `save` wrote."
        ) from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}). Save the model again.") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a model of format {FORMAT}. Save it again with this version.")
    tensors = _verified_tensors(folder, facts)
    classes = facts["classes"]
    try:
        model = TransferModel(facts["backbone"], len(classes), pretrained=False)
        outputs = tensors["head.bias"].numel()
        if outputs != len(classes):
            raise CheckpointError(
                f"{folder}: the weights have {outputs} outputs, model.json names {len(classes)} classes."
            )
        model.load_state_dict(tensors)
        model.freeze_to(int(facts["frozen"]))
    except (KeyError, TypeError, RuntimeError, TransferError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{folder}: the weights do not fit {facts.get('backbone')!r} ({error}).") from error
    model.weights = str(facts["weights"])
    return model.eval(), facts


def _verified_tensors(folder: Path, facts: dict[str, Any]) -> dict[str, torch.Tensor]:
    if not isinstance(facts.get("classes"), list) or not isinstance(facts.get("file"), str):
        raise CheckpointError(f"{folder / 'model.json'}: 'classes' or 'file' is missing. Save the model again.")
    path = folder / Path(facts["file"]).name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: the weights cannot be read ({error.strerror}). Copy the whole folder."
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != facts.get("sha256"):
        raise CheckpointError(
            f"{path}: truncated or changed (SHA-256 {digest[:12]}…, expected {str(facts.get('sha256'))[:12]}…). "
            "Copy or save it again."
        )
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error}). Pickles are refused.") from None
