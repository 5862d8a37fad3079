"""Claims show whether they hold, stop nothing, and are heard; invariants stop; too many fallen claims are an error."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from scipy.stats import binom

import transferlib as tl
from transferlib.evidence.claims import MAY_FALL, fall_rates, read_claims, too_many_fell

ROOT = Path(__file__).parents[1]
KEY = re.compile(r"""f?['"][a-z0-9-]+(\{.+\}[a-z0-9-]*)?['"]""")  # kebab-case; in a loop it says which turn
LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))


def code_of(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def stated_in(path: Path) -> list[ast.Call]:
    """Every `tl.claim(...)` in the code of a notebook."""
    calls = [node for source in code_of(path) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func) == "tl.claim"]


def run(*cells: str) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120).execute()
    return notebook


NUMBERS = st.floats(-10, 10)


@given(NUMBERS, NUMBERS)
def test_a_number_carries_a_claim_if_it_is_on_the_right_side_of_the_limit(value, limit):
    assert tl.above(value, limit).holds == (value > limit) == tl.below(limit, value).holds
    assert tl.above(value, limit).margin == value - limit
    assert tl.between(value, limit, limit + 1).holds == (limit < value < limit + 1)


def test_of_a_comparison_the_whole_interval_must_be_on_the_right_side():
    found = tl.compare([0.3, 0.4, 0.5])
    low, high = found.interval
    assert tl.above(found, low - 0.01).holds and not tl.above(found, low + 0.01).holds
    assert tl.below(found, high + 0.01).holds and not tl.below(found, high - 0.01).holds
    assert tl.between(found, low - 0.01, high + 0.01).holds
    assert not tl.between(found, low + 0.01, 1).holds and not tl.between(found, 0, high - 0.01).holds
    assert tl.above(found, 0.1).margin == pytest.approx(low - 0.1)


def test_a_box_does_not_say_not_clear_of_zero_where_another_limit_is_claimed():
    near_zero = tl.compare([0.01, -0.02, 0.02])
    said = tl.between(near_zero, -0.3, 0.3).measured
    assert said == f"{near_zero.figures()}; claimed: clearly between -0.300 and 0.300" and "not clear" not in said


def test_what_is_not_a_number_carries_nothing():
    assert not tl.above(float("nan"), -1).holds and not tl.between(float("nan"), -1, 1).holds


def test_a_claim_falls_if_one_piece_of_its_evidence_does():
    good, bad = tl.above(2.0, 1.0), tl.above(0.5, 1.0)
    assert tl.Claim("k", "always", "S.", (good, good)).holds
    assert not tl.Claim("k", "always", "S.", (good, bad)).holds


def test_a_claim_that_falls_is_shown_with_what_was_measured_and_the_page_goes_on():
    cells = run(
        "import transferlib as tl",
        'tl.claim("good", "always", "Two is <more> than one.", tl.above(2.0, 1.0))\n'
        'tl.claim("bad", "usually", "One is more than two.", tl.above(1.0, 2.0))',
        "print('still here')",
    ).cells
    good, bad = cells[1].outputs
    assert "<strong>Holds here</strong> (meant: always)" in good["data"]["text/html"]
    assert "Two is &lt;more&gt; than one." in good["data"]["text/html"]
    assert "<strong>Does not hold here</strong> (meant: usually)" in bad["data"]["text/html"]
    assert "1.000; claimed: above 2.000" in bad["data"]["text/html"] and "1.000" in bad["data"]["text/plain"]
    assert cells[2].outputs[0]["text"] == "still here\n"
    told = read_claims(cells[1].outputs)
    assert [(c["key"], c["firmly"], c["holds"]) for c in told] == [("good", "always", True), ("bad", "usually", False)]
    assert [c["evidence"][0]["margin"] for c in told] == [1.0, -1.0]


def test_an_invariant_that_breaks_stops_the_page():
    with pytest.raises(CellExecutionError, match="two is one"):
        run("assert 2 == 1, 'two is one'", "print('never here')")


def test_outside_a_notebook_a_claim_is_a_printed_sentence():
    code = "import transferlib as tl; tl.claim('k', 'always', 'It is so.', tl.below(1.0, 2.0))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "Holds here (always): It is so.\n  measured: 1.000; claimed: below 2.000\n"


def test_a_claim_without_evidence_or_with_another_word_is_refused():
    with pytest.raises(tl.TransferError, match="'often'"):
        tl.claim("k", "often", "S.", tl.above(1.0))
    with pytest.raises(tl.TransferError, match="'k' has no evidence"):
        tl.claim("k", "always", "S.")


@given(st.integers(1, 60), st.sampled_from(["always", "usually"]))
def test_too_many_is_what_a_binomial_would_give_once_in_a_thousand(count, firmly):
    for fell in range(count + 1):
        claims = [{"firmly": firmly, "holds": number >= fell} for number in range(count)]
        assert too_many_fell(claims) == (binom.sf(fell - 1, count, MAY_FALL[firmly]) < 1e-3)


@given(st.lists(st.lists(st.booleans(), max_size=9), max_size=20))
def test_a_record_says_how_often_claims_fall_counted_in_runs_and_a_word_without_runs_may_fall_as_it_says(runs):
    cells = [{"claims": [{"firmly": "always", "holds": holds} for holds in held]} for held in runs]
    shares = [np.mean(np.logical_not(held)) for held in runs if held]
    wanted = (sum(shares) + 1) / (len(shares) + 2) if shares else MAY_FALL["always"]
    assert fall_rates({"cells": cells}) == {"always": pytest.approx(wanted), "usually": MAY_FALL["usually"]}


def test_what_seldom_fell_on_record_makes_fewer_fallen_claims_too_many():
    claims = [{"firmly": "usually", "holds": number > 5} for number in range(20)]
    assert not too_many_fell(claims) and too_many_fell(claims, {"usually": 0.02})


def test_one_fallen_claim_is_never_too_many_and_all_of_five_are():
    for firmly in MAY_FALL:
        assert not too_many_fell([{"firmly": firmly, "holds": False}])
        assert too_many_fell([{"firmly": firmly, "holds": False}] * 5)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_claim_of_a_lesson_has_a_key_a_word_a_sentence_and_evidence(lesson):
    calls = stated_in(lesson)
    assert calls, "a lesson without a claim says nothing that could be wrong"
    for call in calls:
        key, firmly, sentence, *evidence = call.args
        assert evidence and (not isinstance(firmly, ast.Constant) or firmly.value in MAY_FALL)
        assert KEY.fullmatch(ast.unparse(key)), ast.unparse(key)
        assert isinstance(sentence, ast.Constant | ast.JoinedStr)


def test_no_two_claims_of_the_course_have_one_key():
    keys = [ast.unparse(call.args[0]) for lesson in LESSONS for call in stated_in(lesson)]
    assert len(keys) == len(set(keys))


def test_no_lesson_has_a_rule_of_its_own_for_what_is_clear():
    own = ("2.78", "4.30", "ppf(", "ttest", "/ len(gain) ** 0.5")
    taught = LESSONS[4].stem  # lesson 5 computes it by hand, once
    for lesson in LESSONS:
        for source in code_of(lesson):
            assert lesson.stem == taught or not any(rule in source for rule in own), source


@pytest.fixture
def course(tmp_path):
    """A folder like that of the course, with what tests a lesson and what executes it, and one lesson."""
    for name in ("lessons/conftest.py", "book/_ext/fresh_results.py", "book/_tools/execute.py", "requirements.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "_config.yml").write_text("execute: {timeout: 60}")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nbval-lax --nbval-current-env\n")

    def lesson(*sources: str) -> None:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "lessons" / "01_some.ipynb")

    def execute(*command: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stdout

    return lesson, execute


@pytest.mark.thorough
def test_what_a_tested_lesson_printed_is_in_the_book_and_a_failed_one_is_executed_again(course, tmp_path):
    lesson, execute = course
    tests, book = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "lessons"), ("book/_tools/execute.py",)
    moment = "import time; print(time.time_ns())"
    lesson(moment)
    assert execute(*tests)[0] == 0 and execute(*book) == (0, "")
    (tested,), (shown,) = (tmp_path.rglob(name) for name in ("tested/01_some.ipynb", "executed/*/base.ipynb"))
    printed = [nbformat.read(path, 4).cells[0].outputs[0].text for path in (tested, shown)]
    assert printed[0] == printed[1] and printed[0].strip().isdigit()
    lesson(moment, "1 / 0")
    assert execute(*tests)[0] == 1
    code, said = execute(*book)
    assert code == 0 and "01_some: failed: the build says why" in said


@pytest.mark.thorough
def test_the_tests_of_the_lessons_tell_what_fell_and_fail_if_it_is_too_much(course):
    lesson, execute = course

    def outcome(fallen: int, *options: str) -> tuple[int, str]:
        claims = [f'tl.claim("k{i}", "always", "S{i}.", tl.above({float(i >= fallen)}, 0.5))' for i in range(6)]
        lesson("import transferlib as tl", *claims)
        return execute("-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "lessons")

    code, said = outcome(0)
    assert code == 0 and "6 of 6 claims hold here" in said
    code, said = outcome(1, "-n", "2", "--dist", "loadfile")
    assert code == 0 and "5 of 6 claims hold here" in said
    assert "01_some: k0 (always) does not hold here: S0. Measured: 0.000; claimed: above 0.500" in said
    code, said = outcome(4)
    assert code == 1 and "4 at once are more than chance makes plausible" in said


def test_the_record_of_replications_is_of_lessons_that_exist_and_holds_margins():
    told = json.loads((ROOT / "lessons" / "studies" / "replications.json").read_text())
    names = {lesson.stem for lesson in LESSONS}
    assert told["cells"] and {cell["lesson"] for cell in told["cells"]} <= names
    for cell in told["cells"]:
        assert cell["claims"] and not cell["errors"], (cell["lesson"], cell["variant"], cell["errors"])
        assert all(piece["margin"] == piece["margin"] for told in cell["claims"] for piece in told["evidence"])
        assert all(c["holds"] == all(p["margin"] > 0 for p in c["evidence"]) for c in cell["claims"])


def test_what_programs_read_of_a_claim_is_kept_by_a_saved_notebook(tmp_path):
    notebook = run('import transferlib as tl; tl.claim("k", "always", "S.", tl.above(1.0))')
    nbformat.write(notebook, tmp_path / "some.ipynb")
    (cell,) = nbformat.read(tmp_path / "some.ipynb", 4).cells
    assert read_claims(cell.outputs)[0]["key"] == "k"
