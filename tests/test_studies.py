"""The studies behind the lessons go on where they stopped, and their records are what the lessons need."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import numpy as np
import pytest

import transferlib as tl
from transferlib.advice import load_map

STUDIES = Path(__file__).parents[1] / "lessons" / "studies"


@pytest.fixture
def record(monkeypatch):
    monkeypatch.syspath_prepend(STUDIES)
    return importlib.import_module("record")


@pytest.fixture
def replicate(monkeypatch):
    monkeypatch.syspath_prepend(STUDIES)
    return importlib.import_module("replicate")


def test_a_study_runs_the_code_of_its_lesson_and_not_the_solution_of_an_exercise(record):
    lesson = record.taught("13", "look", "THINGS")
    assert "colours in a random order" not in lesson.look.__doc__  # as one exercise has it
    assert lesson.THINGS["cat"] == "a cat"
    with pytest.raises(KeyError, match="nowhere"):
        record.taught("13", "nowhere")


def test_a_study_that_was_stopped_goes_on_and_measures_nothing_twice(record, tmp_path):
    path, measured = tmp_path / "study.json", []

    def measure(n, seed):
        assert threading.current_thread() is threading.main_thread()  # where the number of threads was set
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


def test_cells_measured_at_the_same_time_are_all_recorded_and_a_stop_keeps_those_that_are_done(record, tmp_path):
    path, together = tmp_path / "study.json", threading.Barrier(2, timeout=20)

    def measure(n):
        if n < 2:
            together.wait()  # passes only if two are measured at the same time
        if n == 2:
            raise KeyboardInterrupt
        return {"n": n, "accuracy": 0.5}

    with pytest.raises(KeyboardInterrupt):
        record.fill(path, "command", ("n",), [(0,), (1,), (2,)], measure, at_once=2)
    assert [cell["n"] for cell in json.loads(path.read_text())["cells"]] == [0, 1]


DRAWN = """
import random, numpy as np, torch, transferlib as tl
from sklearn.utils import check_random_state
for name in ("lesions", "photos", "digits", "triage"):
    size = {} if name == "triage" else {"image_size": 32}
    print(tl.load_data(name, 20, n_val=10, n_test=10, seed=0, **size).test.inputs.long().sum().item())
torch.manual_seed(0)
print(torch.rand(1).item())
print(torch.rand(1, generator=torch.Generator().manual_seed(0)).item())
print(np.random.default_rng(0).random())
print(np.random.default_rng((0, 1)).random())
print(check_random_state(0).random())
print(random.Random("0 words").random())
print(tl.TransferModel("small_cnn", 3, pretrained=False, seed=0).head.weight[0, 0].item())
print(tl.TransferModel("efficientnet_lite0", 3, seed=0).features(torch.zeros(1, 3, 32, 32)).sum().item())
"""


@pytest.mark.thorough
def test_a_shift_draws_every_source_every_head_and_every_order_anew_and_leaves_the_weights(replicate):
    def lines(*code: str) -> list[str]:
        return subprocess.run(
            [sys.executable, "-c", "".join(code)], capture_output=True, text=True, check=True
        ).stdout.splitlines()

    *plain, body = lines(DRAWN)
    *moved, same = lines(replicate.SHIFT.format(by=1000), DRAWN)
    assert all(a != b for a, b in zip(plain, moved, strict=True)) and len(plain) == 11
    assert same == body


def test_a_lesson_replicates_with_its_claims_its_errors_and_a_hash_of_its_code(replicate, tmp_path):
    cells = [
        nbformat.v4.new_code_cell("import numpy as np, transferlib as tl; x = np.random.default_rng(0).random()"),
        nbformat.v4.new_code_cell('tl.claim("k", "usually", "It is large.", tl.above(x, 0.6))'),
        nbformat.v4.new_code_cell("assert x < 0, 'never'", id="broken"),
    ]
    path = tmp_path / "01_some.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    plain, shifted = replicate.verdicts(path, "as it comes"), replicate.verdicts(path, "draw-1")
    for run, seed in ((plain, 0), (shifted, 1000)):
        drawn = np.random.default_rng(seed).random()
        (claim,) = run["claims"]
        assert claim["holds"] == (drawn > 0.6) and claim["evidence"][0]["margin"] == pytest.approx(drawn - 0.6)
        assert run["errors"] == [{"cell": "broken", "error": "AssertionError: never"}]
    before = replicate.text(path)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# New"), *cells]), path)
    assert replicate.text(path) == before == plain["text"]  # prose computes nothing
    nbformat.write(nbformat.v4.new_notebook(cells=cells[:2]), path)
    assert replicate.text(path) != before


@pytest.mark.parametrize(
    ("lesson", "variant", "said"),
    [("99", "draw-1", "no lesson 99: say 01 to 13"), ("05", "draw2026", "no variant 'draw2026': say draw-2026")],
)
def test_a_replication_that_there_is_not_is_refused_with_those_that_there_are(
    replicate, monkeypatch, capsys, lesson, variant, said
):
    monkeypatch.setattr(replicate, "apart", lambda *asked: pytest.fail(f"ran {asked}"))
    monkeypatch.setattr(sys, "argv", ["replicate.py", "--show", lesson, variant])
    with pytest.raises(SystemExit):
        replicate.main()
    assert said in capsys.readouterr().err


def test_a_reader_sees_what_held_with_draws_of_their_own_and_nothing_is_recorded(replicate, monkeypatch, capsys):
    evidence = [{"measured": "0.3; claimed: above 0.2", "margin": 0.1}]
    told = {"key": "k", "firmly": "always", "sentence": "So it is.", "evidence": evidence, "holds": True}
    run = {"claims": [told], "errors": [], "held": "1 of 1 claims held", "seconds": 9}
    monkeypatch.setattr(replicate, "apart", lambda lesson, _, variant: run | {"lesson": lesson, "variant": variant})
    monkeypatch.setattr(replicate, "write", lambda *_: pytest.fail("recorded"))
    monkeypatch.setattr(sys, "argv", ["replicate.py", "--show", "5", "draw-2026"])
    replicate.main()
    said = capsys.readouterr().out
    assert "holds  k (always): So it is.\n         0.3; claimed: above 0.2" in said
    assert "05_feature_extraction, draw-2026: 1 of 1 claims held, 9 s" in said


def test_the_record_of_the_race_is_complete_and_in_the_order_of_its_seeds():
    cells = json.loads((STUDIES / "race.json").read_text())["cells"]
    students = ("fine-tuned", "frozen", "small network", "pixels", "blank twin")
    assert len(cells) == 2 * len(students) * 5
    for subject in ("lesions", "photos"):
        for student in students:
            seeds = [cell["seed"] for cell in cells if (cell["set"], cell["student"]) == (subject, student)]
            assert seeds == [0, 1, 2, 3, 4], (subject, student)


def test_the_record_of_the_text_study_is_complete():
    cells = json.loads((STUDIES / "text.json").read_text())["cells"]
    found = {(cell["strategy"], cell["n"], cell["seed"]) for cell in cells}
    strategies = {strategy for strategy, *_ in found} - {"from scratch"}
    assert len(strategies) == 5 and len(found) == len(cells)
    sizes = (16, 40, 80, 160, 320)
    assert {(s, n, seed) for s in strategies for n in sizes for seed in range(3)} <= found
    assert {("from scratch", 160, seed) for seed in range(3)} <= found


def test_the_record_of_swapped_averages_is_complete():
    cells = json.loads((STUDIES / "averages.json").read_text())["cells"]
    found = [(cell["network"], cell["seed"]) for cell in cells]
    assert len(set(found)) == len(found)
    trained = ("trained on ours", "trained on ours, longer", "averages held", "averages held, longer")
    networks = ("as it came", "averages of ours", *trained)
    assert set(found) == {(network, seed) for network in networks for seed in range(5)}


def test_no_swap_is_clearly_better_than_the_network_left_alone_in_the_record_as_lesson_2_says():
    cells = json.loads((STUDIES / "averages.json").read_text())["cells"]
    found = {(cell["network"], cell["seed"]): cell for cell in cells}

    def pair(one: str, column: str, other: str, other_column: str) -> tl.Comparison:
        return tl.compare(*([found[w, s][c] for s in range(5)] for w, c in ((one, column), (other, other_column))))

    left = "as it came"
    for network in ("averages of ours", "trained on ours", "trained on ours, longer"):
        for column, other in (("accuracy", "theirs"), ("ours", "ours")):
            against = pair(network, column, left, other)
            assert not (against.clear and against.mean > 0)
    for network in ("averages held", "averages held, longer"):
        assert not any(pair(network, column, left, column).clear for column in ("ours", "theirs"))
        ruined = pair(network, "accuracy", network, "theirs")
        assert ruined.clear and ruined.mean < 0


def test_where_fine_tuning_clearly_beats_the_frozen_network_on_the_map_is_where_lesson_8_says():
    gains = {(p.data, p.similarity.images): tl.compare(p.gains("fine-tuning")) for p in load_map()}
    ahead: dict[str, list[int]] = {}
    for data, n in sorted(where for where, gain in gains.items() if gain.clear and gain.mean > 0):
        ahead.setdefault(data, []).append(n)
    assert ahead == {
        "lesions": [64, 128, 256, 512],
        "digits": [64, 128, 256, 512],
        "isic9": [256, 512],
        "photos, blocks of 8": [512],
    }


def test_the_records_of_where_fine_tuning_pays_and_what_it_forgets_are_complete(record):
    tuning, forgetting = importlib.import_module("tuning"), importlib.import_module("forgetting")
    cells = json.loads(tuning.RESULT.read_text())["cells"]
    found = {(cell["set"], cell["strategy"], cell["seed"]) for cell in cells}
    wanted = [(name, strategy) for name, _ in tuning.TASKS for strategy in tuning.STRATEGIES]
    wanted += [("photos", tuning.SLOWER), ("photos", tuning.SHORTER)]
    assert found == {(*pair, seed) for pair in wanted for seed in tuning.SEEDS} and len(found) == len(cells)
    cells = json.loads(forgetting.RESULT.read_text())["cells"]
    found = {(cell["lr"], cell["body"], cell["held"], cell["seed"]) for cell in cells}
    assert found == {(*case, seed) for case in forgetting.CASES for seed in forgetting.SEEDS}
    assert len(found) == len(cells)


def test_the_record_of_other_teachers_is_complete(record):
    teachers = importlib.import_module("teachers")
    cells = json.loads(teachers.RESULT.read_text())["cells"]
    found = [(cell["source"], cell["n"], cell["way"], cell["seed"]) for cell in cells]
    assert sorted(found) == sorted(set(teachers.wanted()))


def test_what_lesson_13_tells_apart_and_what_it_cannot_is_so_in_its_record(record):
    teachers = importlib.import_module("teachers")
    found = {
        (c["source"], c["way"], c["n"], c["seed"]): c["accuracy"]
        for c in json.loads(teachers.RESULT.read_text())["cells"]
    }

    def clear(way: str, one: str, other_way: str, other: str) -> dict[int, bool]:
        """Of the sizes at which the two differ clearly, whether the first is ahead."""
        pairs = {
            n: tl.compare(*([found[s, w, n, k] for k in teachers.SEEDS] for s, w in ((one, way), (other, other_way))))
            for n in teachers.SIZES
        }
        return {n: pair.mean > 0 for n, pair in pairs.items() if pair.clear}

    cellar, few, unnamed, named, grey = teachers.POOLS
    probe, _, full, long = teachers.WAYS
    for other in (teachers.NONE, teachers.COUNTED, few, unnamed, named, grey):
        assert clear(probe, cellar, probe, other) == {32: True, 128: True, 512: True}
    assert clear(probe, cellar, probe, teachers.IMAGENET) == {128: False, 512: False}
    assert clear(probe, cellar, full, teachers.NONE) == {32: True, 128: True}
    assert clear(probe, few, probe, teachers.NONE) == {32: True, 128: True, 512: True}
    for other in (unnamed, named):
        assert clear(probe, few, probe, other) == {128: True, 512: True}
    assert clear(probe, unnamed, probe, named) == {512: True}
    assert clear(full, cellar, full, teachers.NONE) == {128: True, 512: True}
    assert not clear(full, cellar, full, unnamed)
    for way in (probe, long):
        assert not clear(way, cellar, long, teachers.NONE)


def test_lora_is_not_told_from_its_opponents_in_the_record_as_lesson_11_says(record):
    lighter = importlib.import_module("lighter")
    found = {(c["way"], c["seed"]): c for c in json.loads(lighter.RESULT.read_text())["cells"] if c["what"] == "triage"}
    lora, alone, everything = (
        [found[way, seed]["accuracy"] for seed in lighter.SEEDS] for way in ("LoRA", "head alone", "everything")
    )
    means = [found["no training", seed]["means test"] for seed in lighter.SEEDS]
    assert not any(tl.compare(lora, other).clear for other in (alone, everything, means))


def test_a_student_that_trains_long_gains_nothing_clear_from_its_teacher_in_the_record_as_lesson_11_says(record):
    lighter = importlib.import_module("lighter")
    found = {(c["way"], c["seed"]): c["accuracy"] for c in json.loads(lighter.RESULT.read_text())["cells"]}
    names, *taught = ([found[way, seed] for seed in lighter.SEEDS] for way in lighter.LONG)
    assert len(taught) == 3
    assert not any(tl.compare(answers, names).clear for answers in taught)


def test_the_record_of_lighter_ways_is_complete(record):
    lighter = importlib.import_module("lighter")
    cells = json.loads(lighter.RESULT.read_text())["cells"]
    found = [(cell["what"], cell["way"], cell["rate"], cell["seed"]) for cell in cells]
    assert sorted(found) == sorted(set(lighter.wanted()))


def test_the_record_of_who_changed_is_complete(record):
    changed = importlib.import_module("changed")
    cells = json.loads(changed.RESULT.read_text())["cells"]
    found = [(cell["set"], cell["way"], cell["seed"]) for cell in cells]
    assert sorted(found) == sorted(set(changed.wanted()))
