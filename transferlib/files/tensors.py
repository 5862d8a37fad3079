"""Tensors in files: safetensors with their facts in JSON beside them, and memory-mapped ones."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from transferlib.errors import CheckpointError
from transferlib.files.whole import replacing, write_atomically, write_whole

log = logging.getLogger(__name__)


def save_tensors(folder: Path, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write `name`-HASH.safetensors and then `name`.json, which names it; older ones are removed.

    The JSON is the commit: a save that is cut short leaves the previous pair or none. Raises
    CheckpointError when the disk is full or the folder cannot be written.
    """
    content = safetensors.torch.save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    facts = {**facts, "file": f"{name}-{digest[:16]}.safetensors", "sha256": digest}
    write_whole(folder / facts["file"], content)
    write_whole(folder / f"{name}.json", json.dumps(facts, indent=2).encode())
    for old in folder.glob(f"{name}-{'[0-9a-f]' * 16}.safetensors"):
        if old.name != facts["file"]:
            old.unlink()


def load_tensors(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote; FileNotFoundError if there is no `name`.json.

    Raises CheckpointError when a file is truncated, changed, a pickle or anything else.
    """
    path = folder / f"{name}.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error}). Save the {name} again.") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("file"), str):
        raise CheckpointError(f"{path}: 'file' is missing. Save the {name} again.")
    weights = folder / Path(facts["file"]).name
    try:
        content = weights.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{weights}: the weights cannot be read ({reason}). Copy the whole folder.") from None
    digest, wanted = hashlib.sha256(content).hexdigest(), str(facts.get("sha256"))
    if digest != wanted:
        why = f"SHA-256 {digest[:12]}…, expected {wanted[:12]}…"
        raise CheckpointError(f"{weights}: truncated or changed ({why}). Copy or save it again.")
    try:
        return safetensors.torch.load(content), facts
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{weights}: not a safetensors file ({error}). Pickles are refused.") from None


def hash_of(*parts: Tensor | str) -> str:
    """SHA-256 of tensors (bytes and shape) and strings, in order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode() + b"\0")
            continue
        digest.update(f"{part.dtype} {tuple(part.shape)}\0".encode())
        for piece in torch.split(part.detach().flatten(), 1 << 26) if part.numel() else ():
            digest.update(piece.cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def mapped_tensor(
    folder: Path, name: str, key: str, shape: tuple[int, ...], dtype: torch.dtype, fill: Callable[[Tensor], None]
) -> Tensor:
    """A tensor in a memory-mapped file that is filled once and found again under its key.

    The operating system keeps what is in use in memory and the rest on the disk. `fill` gets
    the empty tensor. A file that is truncated or changed is noticed by its hash and filled
    again. Raises OSError if the folder cannot be written or the disk is full: the space is
    taken before anything is computed.
    """
    path, facts_path = folder / f"{name}-{key[:16]}.bin", folder / f"{name}-{key[:16]}.json"
    count = torch.Size(shape).numel()

    def opened(file: Path) -> Tensor:
        return torch.from_file(str(file), shared=True, size=count, dtype=dtype).view(shape)

    try:
        facts = json.loads(facts_path.read_text())
        whole = path.stat().st_size == count * dtype.itemsize
        if whole and facts["key"] == key and facts["sha256"] == hash_of(found := opened(path)):
            log.info("%s found in %s", name, path)
            return found
        log.warning("%s is truncated or changed: it is made again", path)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with replacing(path) as part:
        with part.open("wb") as file:
            _reserve(file.fileno(), count * dtype.itemsize)
        made = opened(part)
        fill(made)
        write_atomically(facts_path, json.dumps({"key": key, "sha256": hash_of(made)}).encode())
    return made


def _reserve(file: int, size: int) -> None:
    """Take the space now: writing to a mapped file on a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)
