"""What the lessons claim, told at the end of a test run: a fallen claim is news, too many are an error."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from transferlib.evidence.claims import (
    MAY_FALL,
    fall_rates,
    news,
    read_claims,
    too_many_fell,
)

RECORD = Path(__file__).with_name("studies") / "replications.json"
RATES = (
    fall_rates(json.loads(RECORD.read_text(encoding="utf-8")))
    if RECORD.exists()
    else MAY_FALL
)
found: list[dict[str, Any]] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Send the claims of a cell along with its report, also from another process."""
    report = yield
    if report.when == "call":
        for told in read_claims(getattr(item, "test_outputs", None) or []):
            report.user_properties.append(
                ("claim", told | {"lesson": Path(item.path).stem})
            )
    return report


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
