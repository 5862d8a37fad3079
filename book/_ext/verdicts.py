"""Says in the last lines of a build what went wrong in a lesson, or which claims do not hold on this machine.

A broken invariant or a crash fails the build, and so do more fallen claims than chance makes plausible; a lesson that
failed is executed again by the next build, changed or not. A fallen claim is news: the page shows it, the end of the
build repeats it.
"""

from __future__ import annotations

import atexit
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from transferlib.evidence.claims import MAY_FALL, fall_rates, news, read_claims, too_many_fell

LOG = logging.getLogger(__name__)
LESSON = re.compile(r"lessons/\d\d_\w+$")
COLOURS = re.compile(r"\x1b\[[\d;]*m")
BROKEN = (
    "This must hold on every machine, whatever was drawn. If you changed nothing, something is broken here: compare "
    "your versions with requirements.txt, and report it with these lines."
)
LOOK = "Open the lesson with `make lab`, run all cells, and look at this one."


def failures(env: BuildEnvironment) -> dict[str, str]:
    """The lessons whose execution ended early, with the text of their error."""
    ran = {name: NbMetadataCollector.get_exec_data(env, name) for name in env.found_docs if LESSON.search(name)}
    return {name: str(told["traceback"]) for name, told in sorted(ran.items()) if told and not told["succeeded"]}


def again(app: Sphinx, env: BuildEnvironment, *_: Any) -> list[str]:
    """What failed last time is outdated: otherwise the next build would pass it over."""
    return list(failures(env))


def explain(lesson: Path, error: str) -> str:
    """Lesson, cell, error and remedy, from the text of an error."""
    cells = [cell for cell in nbformat.read(lesson, 4).cells if cell.cell_type == "code"]
    lines = [line for line in COLOURS.sub("", error).splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if re.match(r"\w+(Error|Exception|Interrupt)\b", line)), lines[-1])
    where = next(((i, c) for i, c in enumerate(cells, start=1) if c.source.strip() and c.source in error), None)
    cell = f"code cell {where[0]} ({where[1].id}: {where[1].source.splitlines()[0]})" if where else "a cell"
    remedy = BROKEN if said.startswith("AssertionError") else LOOK
    return f"{lesson.parent.name}/{lesson.name}, {cell}\n  {said.strip()}\n  {remedy}"


def claims(app: Sphinx, env: BuildEnvironment) -> list[dict[str, Any]]:
    """What the lessons claim, read from the notebooks in the cache, where those that failed are not."""
    cache = get_cache(app.config.nb_execution_cache_path or Path(app.outdir).parent / ".jupyter_cache")
    found = []
    for name in sorted(name for name in env.found_docs if LESSON.search(name)):
        with suppress(KeyError):
            _, ran = cache.merge_match_into_notebook(nbformat.read(Path(app.srcdir, f"{name}.ipynb"), 4))
            told = [claim for cell in ran.cells for claim in read_claims(cell.get("outputs", []))]
            found += [claim | {"lesson": Path(name).name} for claim in told]
    return found


def judge(app: Sphinx, env: BuildEnvironment) -> None:
    """A warning, which fails the build, where too much fell; all that is to be said comes last."""
    record = Path(app.srcdir, "lessons", "studies", "replications.json")
    rates = fall_rates(json.loads(record.read_text(encoding="utf-8"))) if record.exists() else MAY_FALL
    found = claims(app, env)
    last = [explain(Path(app.srcdir, f"{name}.ipynb"), error) for name, error in failures(env).items()]
    last += news(found, rates)
    if too_many_fell(found, rates):
        LOG.warning(last[-2])
    if last:
        atexit.register(print, "\n" + "\n".join(last), flush=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("env-get-outdated", again)
    app.connect("env-check-consistency", judge)
    return {"parallel_read_safe": True}
