"""The studies behind the lessons go on where they stopped, and their records are what the lessons need."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[1] / "lessons" / "studies"


@pytest.fixture
def record():
    spec = importlib.util.spec_from_file_location("record", STUDIES / "record.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_study_that_was_stopped_goes_on_and_measures_nothing_twice(record, tmp_path):
    path, measured = tmp_path / "study.json", []

    def measure(n, seed):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append((n, seed))
        return None if n == 3 else {"n": n, "seed": seed, "accuracy": 0.5}

    wanted = [(n, seed) for n in (1, 3, 2) for seed in (0,)]
    with pytest.raises(KeyboardInterrupt):
        record.fill(path, "command", ("n", "seed"), wanted, measure)
    assert [cell["n"] for cell in json.loads(path.read_text())["cells"]] == [1]
    measured.clear()
    record.fill(path, "command", ("n", "seed"), wanted, measure)
    told = json.loads(path.read_text())
    assert measured == [(3, 0), (2, 0)]  # what has no cell is asked again, what has one is not
    assert [cell["n"] for cell in told["cells"]] == [1, 2]
    assert told["command"] == "command"
    assert set(told["measured"][0]) == {"date", "code", "python", "torch", "machine"}


def test_the_record_of_the_text_study_is_complete():
    cells = json.loads((STUDIES / "text.json").read_text())["cells"]
    found = {(cell["strategy"], cell["n"], cell["seed"]) for cell in cells}
    strategies = {strategy for strategy, *_ in found} - {"from scratch"}
    assert len(strategies) == 5 and len(found) == len(cells)
    sizes = (16, 40, 80, 160, 320)
    assert {(s, n, seed) for s in strategies for n in sizes for seed in range(3)} <= found
    assert {("from scratch", 160, seed) for seed in range(3)} <= found
