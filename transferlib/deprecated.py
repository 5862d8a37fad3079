"""Old names, kept for one version with a DeprecationWarning. Delete this file and its users in 0.3."""

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "transferlib.backbones": "transferlib.networks.registry",
    "transferlib.encoders": "transferlib.networks.encoders",
    "transferlib.similarity": "transferlib.advice.similarity",
    "transferlib.data.texts": "transferlib.data.builtin.texts",
    "transferlib.data.photographs": "transferlib.data.builtin.originals",
}


def renamed(old: str, new: str) -> None:
    """Warn whoever used an old name."""
    warnings.warn(f"{old} is called {new} now; the old name goes with the next version.", DeprecationWarning, 3)


def old_name(old: str, new: str) -> Any:
    """An attribute that is called `new` now."""

    def get(owner: object) -> Any:
        renamed(old, new)
        return getattr(owner, new)

    return property(get)


class _Moved(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        new = import_module(MOVED[module.__name__])
        renamed(module.__name__, new.__name__)
        module.__dict__.update({name: value for name, value in vars(new).items() if not name.startswith("__")})


sys.meta_path.insert(0, _Moved())
