"""Files that are whole or absent, and that are believed only if their digest says so."""

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transferlib.errors import CheckpointError, DownloadError

DAY = 86_400  # seconds


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to: renamed to `path` at the end, or gone if something went wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f".{path.name}.*.part"):  # left by a process that was killed
        if time.time() - old.stat().st_mtime > DAY:
            old.unlink(missing_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it."""
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, content: bytes) -> None:
    """`write_atomically`, with a CheckpointError when the disk is full or the folder cannot be written."""
    try:
        write_atomically(path, content)
    except OSError as error:
        remedy = "What was there is untouched; free some space or choose another folder."
        raise CheckpointError(f"{path}: could not be written ({error.strerror or error}). {remedy}") from error


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def parse_digest(digest: str) -> tuple[str, str]:
    """The algorithm and the digits of a digest. Raises DownloadError for anything else."""
    algorithm, _, digits = digest.lower().rpartition(":")
    algorithm = algorithm or "sha256"
    least, most = {"sha256": (8, 64), "md5": (32, 32)}.get(algorithm, (1, 0))
    if not least <= len(digits) <= most or set(digits) - set("0123456789abcdef"):
        raise DownloadError(f"{digest!r} is not a digest. Give 8 to 64 hexadecimal digits of a SHA-256, or 'md5:…'.")
    return algorithm, digits


def verify(path: Path, digest: str) -> bool:
    """Whether the file is there and has this digest.

    digest: SHA-256 in hexadecimal, whole or its first 8 digits or more (torchvision puts 8 into
    the names of its files); or "sha256:…" or "md5:…", for publishers who give nothing better
    than MD5, which finds damage but does not stop a forger.
    """
    algorithm, digits = parse_digest(digest)
    return path.is_file() and digest_of(path, algorithm).startswith(digits)
