"""Words that lie beside the code as a Jinja template."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined


def fill(
    template: Path, *, finalize: Callable[[object], object] | None = None, autoescape: bool = False, **facts: Any
) -> str:
    """The text of a template with its facts; one that is not given is an error.

    finalize: what each passes through. autoescape: whether they are text in HTML.
    """
    jinja = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    jinja.finalize, jinja.autoescape = finalize, autoescape
    return jinja.from_string(template.read_text(encoding="utf-8")).render(facts)
