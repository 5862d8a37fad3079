"""Lessons as tests: what they claim is told at the end, and what they printed is kept for the book.

A fallen claim is news, too many are an error.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from transferlib.evidence.claims import (
    MAY_FALL,
    fall_rates,
    news,
    read_claims,
    too_many_fell,
)
from transferlib.files.whole import write_whole

RECORD = Path(__file__).with_name("studies") / "replications.json"
RATES = (
    fall_rates(json.loads(RECORD.read_text(encoding="utf-8")))
    if RECORD.exists()
    else MAY_FALL
)
found: list[dict[str, Any]] = []

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "_ext"))
# Named by the state of the package before anything runs: what changes meanwhile is of another.
KEPT = importlib.import_module("fresh_results").tested_folder(Path(__file__).parents[1])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Send the claims of a cell along with its report, also from another process; keep a lesson that went through."""
    report = yield
    if report.when == "call" and hasattr(item, "cell"):
        outputs = item.test_outputs or []
        if report.passed:
            item.cell.update(outputs=outputs, execution_count=item.cell_num + 1)
            keep_if_whole(item.path, item.parent.nb)
        for told in read_claims(outputs):
            report.user_properties.append(
                ("claim", told | {"lesson": Path(item.path).stem})
            )
    return report


def keep_if_whole(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Leave an executed lesson where `make book` looks for it, so that nothing is executed twice."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if all(cell.execution_count for cell in code):
        write_whole(KEPT / path.name, nbformat.writes(notebook).encode())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect them where the summary is written."""
    found.extend(told for name, told in report.user_properties if name == "claim")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """More than chance makes plausible means that something is broken."""
    if too_many_fell(found, RATES):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many hold, and what was measured where one does not."""
    if found:
        terminalreporter.section("claims")
        for line in news(found, RATES):
            terminalreporter.write_line(line)
