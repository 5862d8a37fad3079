"""Transfer learning in PyTorch.

A network is an ordered list of stages, a strategy is a list of phases.
"""

import lazy_loader

import transferlib.deprecated  # noqa: F401

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # the names are in __init__.pyi
