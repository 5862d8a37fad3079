"""Which tests run, in which order, and which share a process. tests/seconds.tsv says what takes long."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent
LINES = [line.split("\t") for line in (ROOT / "tests" / "seconds.tsv").read_text("utf-8").splitlines()]
SECONDS = {what: float(seconds) for seconds, what in LINES}
COURSEWORK = "tests/test_coursework.py"
WAITS = pytest.mark.skip(reason="slow by nature: THOROUGH=1 in the environment runs it")


def group_of(nodeid: str) -> str:
    """What runs in one process, in its order: a file, for its fixtures and cells; of the coursework an assignment."""
    file, _, test = nodeid.partition("::")
    if file == COURSEWORK and (found := re.search(r"\[(capstone|choosing|frozen|rates|unfreezing)\b", test)):
        return f"{file}[{found[1]}]"
    return file  # stages too, for its class is the one that malice is tried in


def on_record(item: pytest.Item) -> set[str]:
    """The names in tests/seconds.tsv that speak of a test: its function's or its group's."""
    return {item.nodeid.partition("[")[0], group_of(item.nodeid)} & SECONDS.keys()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--quick."""
    told = "leave out the tests that are in tests/seconds.tsv, wait for THOROUGH or need a browser"
    parser.addoption("--quick", action="store_true", help=told)


def is_slow(item: pytest.Item) -> bool:
    """Whether --quick leaves a test out."""
    return bool(
        on_record(item) or item.get_closest_marker("thorough") or "browser" in getattr(item, "fixturenames", ())
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests wait; the longest group comes first, so that no process runs out of work long before another."""
    if config.option.quick:
        config.hook.pytest_deselected(items=[item for item in items if is_slow(item)])
        items[:] = [item for item in items if not is_slow(item)]
    long: dict[str, set[str]] = {}
    for item in items:
        found = long.setdefault(group_of(item.nodeid), set())
        if item.get_closest_marker("thorough") and not os.environ.get("THOROUGH"):
            item.add_marker(WAITS)
        else:
            found |= on_record(item)
    seconds = {group: sum(SECONDS[name] for name in found) for group, found in long.items()}
    items.sort(key=lambda item: (-seconds[group_of(item.nodeid)], group_of(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """--dist loadfile, with our groups in the place of files, in our order.

    xdist's own loadgroup would ignore its marks: it writes them into `_nodeid`, which pytest 9.2 no longer reads.
    """
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LongestFirst(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # that would begin with what has most tests
    return LongestFirst(config, log)
