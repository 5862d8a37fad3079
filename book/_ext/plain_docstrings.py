"""Lets autodoc read docstrings that are written as plain text, with `code` in single backticks."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

CODE = re.compile(r"(`[^`]+`)")


def _to_rst(line: str) -> str:
    parts = CODE.split(line)
    return "".join(f"`{part}`" if CODE.fullmatch(part) else re.sub(r"([*|]|_\b)", r"\\\1", part) for part in parts)


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Rewrite `lines` in place; doctests stay as they are."""
    doctest = False
    for index, line in enumerate(lines):
        doctest = line.lstrip().startswith(">>>") or (doctest and bool(line.strip()))
        if not doctest:
            lines[index] = _to_rst(line)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
