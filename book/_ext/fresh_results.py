"""Executes the lessons again when the package or its requirements change, not only when a lesson does.

jupyter-cache knows a notebook by its own code cells. Here the cache's folder is named after
everything else that a result depends on, and the caches of earlier states are removed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def fingerprint(root: Path) -> str:
    """A short hash of what lessons depend on: package, studies that they read, requirements, Python version."""
    digest = hashlib.sha256(sys.version.encode())
    package = [path for path in (root / "transferlib").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    studies = (path for path in (root / "lessons" / "studies").glob("*.json") if path.stem != "replications")
    for path in [root / "requirements.txt", *sorted(package), *sorted(studies)]:
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:12]


def cache_folder(root: Path) -> Path:
    """Where the results of this state are kept."""
    return root / "_build" / ".jupyter_cache" / fingerprint(root)


def tested_folder(root: Path) -> Path:
    """Where a test run leaves lessons of this state that it executed, for the book."""
    return cache_folder(root) / "tested"


def choose_cache(app: Sphinx, config: Config) -> None:
    """Point myst-nb at the cache of this state."""
    current = cache_folder(Path(app.srcdir))
    caches = current.parent
    if caches.is_dir():
        for old in caches.iterdir():
            if old != current:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    config["nb_execution_cache_path"] = str(current)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", choose_cache)
    return {"parallel_read_safe": True}
