from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Hypothesis would call an example that takes 200 ms a failure: on a busy machine any may.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several processes only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest.register_assert_rewrite("browsing")
from browsing import browser, site, visit  # noqa: E402, F401


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told after two seconds would come on a slow machine and not on a quick one."""
    monkeypatch.setattr("transferlib.files.waiting.FIRST", 1e6)


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """real_data("isic9/images") is that folder of real files, or the test is skipped with the reason."""
    root = Path(os.environ.get("TRANSFERLIB_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")

    def locate(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no real data at {root / name}; set TRANSFERLIB_TEST_DATA to the folder that holds it")
        return root / name

    return locate


# A shell that starts the tests in the background lets them ignore Ctrl-C, and what they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
