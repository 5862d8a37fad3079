"""Files from the internet, kept only if they are the expected ones."""

import errno
import http.client
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_ISLNK

from transferlib.errors import DownloadError
from transferlib.files.whole import parse_digest, replacing, verify

CHUNK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without an answer


def cache_dir() -> Path:
    """Where downloads are kept: $TRANSFERLIB_CACHE, or `transferlib` in the platform's cache folder."""
    other = {"win32": ("LOCALAPPDATA", "~/AppData/Local"), "darwin": ("", "~/Library/Caches")}
    variable, usual = other.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    folder = Path(os.environ.get(variable) or usual) / "transferlib"
    return Path(os.environ.get("TRANSFERLIB_CACHE") or folder).expanduser()


def fetch(url: str, path: Path | str, *, digest: str, timeout: float = TIMEOUT) -> Path:
    """Download `url` to `path` unless the right file is there already, and return the path.

    digest: see `verify`. timeout: seconds the server may be silent. The file is written under a
    temporary name in the same folder, verified, and only then renamed, so `path` never holds
    half a file; a damaged file at `path` is replaced by the verified one.
    Raises DownloadError that names the address, the path, the reason and what to do by hand.
    """
    path = Path(path).expanduser()
    algorithm, digits = parse_digest(digest)
    by_hand = f"Try again, or download it by hand, check that its {algorithm} begins with {digits}, and put it there."
    try:
        if verify(path, digest):
            return path
        with replacing(path) as part:
            _receive(url, part, timeout)
            if not verify(part, digest):
                raise DownloadError("what arrived does not have the expected digest")
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason: object = error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full"
            by_hand = "Make room, or set TRANSFERLIB_CACHE to a folder on another disk, and try again."
        raise DownloadError(f"{url} could not be fetched to {path}: {reason}. {by_hand}") from error
    return path


def _receive(url: str, part: Path, timeout: float) -> None:
    if not url.startswith(("https://", "http://")):
        raise DownloadError("only http and https addresses are allowed")
    request = urllib.request.Request(url, headers={"User-Agent": "transferlib"})
    with urllib.request.urlopen(request, timeout=timeout) as answer, part.open("wb") as file:
        shutil.copyfileobj(answer, file, CHUNK)
        length, size = answer.headers.get("Content-Length"), file.tell()
    if length is not None and size != int(length):
        raise DownloadError(f"the connection ended after {size:,} of {int(length):,} bytes")


def unpack(archive: Path | str, folder: Path | str, *, top: str = "", max_bytes: int = 20 * 10**9) -> Path:
    """Unpack a zip or tar archive into a new folder, in one step, and return the folder.

    top: the folder inside the archive that becomes `folder` (default: the whole archive).
    An existing folder is complete, as it appears only when everything is unpacked, and is
    returned as it is. Raises DownloadError for a damaged archive, one that would grow beyond
    `max_bytes`, or one with a link, an absolute path or `..` in it; nothing is left behind.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            target = Path(temporary) / "unpacked"
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as packed:
                    found = [(i.filename, i.file_size, not S_ISLNK(i.external_attr >> 16)) for i in packed.infolist()]
                    _check(found, max_bytes)
                    packed.extractall(target)
            else:
                with tarfile.open(archive) as tarred:
                    _check(((m.name, m.size, m.isfile() or m.isdir()) for m in tarred), max_bytes)
                    tarred.extractall(target, filter="data")
                    while tarred.fileobj and tarred.fileobj.read(CHUNK):
                        pass  # to the end, where gzip keeps its checksum
            (target / top).replace(folder)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        problem = f"{archive} could not be unpacked to {folder}: {error}"
        raise DownloadError(f"{problem}. Delete it and try again.") from error
    return folder


def _check(members: Iterable[tuple[str, int, bool]], max_bytes: int) -> None:
    """Refuse (name, bytes, plain) that would leave the folder, are links or devices, or are too much."""
    total = 0
    for name, size, plain in members:
        path = PurePosixPath(name.replace("\\", "/"))
        if not (name and plain) or path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
            raise DownloadError(f"{name!r} in it is a link, has an absolute path or leads out of the folder")
        total += size
        if total > max_bytes:
            raise DownloadError(f"it would grow beyond {max_bytes:,} bytes")
