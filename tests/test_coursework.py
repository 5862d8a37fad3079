"""The coursework, released, answered rightly, wrongly and with malice, and graded."""

from __future__ import annotations

import csv
import functools
import json
import os
import random
import re
import socketserver
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import nbformat
import pytest
from _pytest.mark import ParameterSet
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from submissions import Wrong, mistakes
from submissions.hostile import HOSTILE, cell_of

pytest.importorskip("resource", reason="grading needs Linux")

FOLDER = Path(__file__).parents[1] / "lessons" / "coursework"
PROGRAM = FOLDER / "coursework.py"
SOURCES = {path.parent.name: path for path in sorted(FOLDER.glob("source/*/*.ipynb"))}


def one_a_test(found: list[Wrong]) -> list[Wrong]:
    """Of the typical mistakes the first for each test cell; with THOROUGH=all in the environment every one."""
    seen: set[str] = set()
    few = []
    for wrong in found:
        if os.environ.get("THOROUGH") == "all" or not wrong.loses <= seen:
            few.append(wrong)
            seen |= wrong.loses
    return few


WRONG = {name: one_a_test(mistakes(name)) for name in SOURCES}
THOROUGH = bool(os.environ.get("THOROUGH"))
# What takes minutes by its nature waits for THOROUGH=1: assignments other than the first,
OTHERS = SOURCES.keys() - {"stages"}
# mistakes in those that train a network for each anew,
TRAINED = OTHERS - {"choosing"}
# and malice beyond one of each kind.
EVERYDAY = {
    *("test edited", "comparison replaced", "reads the solution", "network", "kernel killed"),
    *("metadata and ids lost", "words deleted", "a bracket not closed", "no cell left", "other kernel"),
    "not a notebook",
}
MALICE = {student: hostile for student, hostile in HOSTILE.items() if THOROUGH or student in EVERYDAY}
VARIANT = 2027
# Enough many times over for the cells of the first assignment, which is the one that is answered with malice.
LIMITS = "c.Run.timeout = 60\nc.Run.notebook_seconds = 300\n"

sys.path.insert(0, str(FOLDER))
from coursework import beliefs, class_table, left_in, refuse  # noqa: E402
from preprocessors import KERNEL, Run, SetVariant, locate  # noqa: E402
from preprocessors import name as name_of  # noqa: E402
from sandbox import CPU_SECONDS, MEMORY, obstacle  # noqa: E402

OBSTACLE = obstacle()
shut_in = pytest.mark.skipif(bool(OBSTACLE), reason=OBSTACLE)


def in_time(names: Iterable[str], slow: Collection[str]) -> list[ParameterSet]:
    """The parameters of a test, the slow ones marked: they wait for THOROUGH=1."""
    return [pytest.param(name, marks=[pytest.mark.thorough] if name in slow else []) for name in names]


def run(what: str, course: Path, *words: str) -> str:
    """A command of the coursework; returns what it says."""
    command = [sys.executable, str(PROGRAM), what, "--course", str(course), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def model_answers(assignment: str) -> dict[str, str]:
    """The solution cells of an assignment as a student would write them, without nbgrader's marks."""
    cells = [c for c in nbformat.read(SOURCES[assignment], 4).cells if c.metadata.get("nbgrader", {}).get("solution")]
    marks = r"(?m)^ *### (?:BEGIN|END) SOLUTION\n?"
    return {cell.metadata.nbgrader.grade_id: re.sub(marks, "", f"{cell.source}\n") for cell in cells}


def answered(course: Path, assignment: str, cells: dict[str, str] | None = None) -> NotebookNode:
    """The released notebook with the model answers in it, some of them replaced."""
    notebook = nbformat.read(course / "release" / assignment / f"{assignment}.ipynb", 4)
    for name, source in (model_answers(assignment) | (cells or {})).items():
        cell_of(notebook, name).source = source
    return notebook


def hand_in(course: Path, student: str, assignment: str, notebook: NotebookNode | str) -> Path:
    """Put a submission where the grader looks for it."""
    path = course / "submitted" / student / assignment / f"{assignment}.ipynb"
    path.parent.mkdir(parents=True)
    if isinstance(notebook, str):
        path.write_text(notebook)
    else:
        nbformat.write(notebook, path)
    return path


def report(course: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The lines of report.csv, by student and assignment."""
    with (course / "report.csv").open(newline="", encoding="utf8") as file:
        return {(line["student"], line["assignment"]): line for line in csv.DictReader(file)}


def lost(course: Path, student: str, assignment: str) -> dict[str, str]:
    """The tests that a submission failed, with what the student is told."""
    return json.loads((course / "graded" / student / f"{assignment}.json").read_text())["lost"]


def printed(course: Path, student: str, assignment: str = "stages") -> str:
    """Everything that the cells of a graded submission printed."""
    notebook = nbformat.read(course / "autograded" / student / assignment / f"{assignment}.ipynb", 4)
    return "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The course folder of a class with one assignment."""

    @functools.cache
    def course_of(name: str) -> Path:
        course = tmp_path_factory.mktemp(name) / "course"
        run("release", course, "--variant", str(VARIANT), name)
        return course

    return course_of


@pytest.fixture(scope="session")
def class_of(released: Callable[[str], Path]) -> Callable[[str], Path]:
    """Such a folder, graded: the assignment was answered fully and not at all."""

    @functools.cache
    def course_of(name: str) -> Path:
        course = released(name)
        hand_in(course, "full", name, answered(course, name))
        hand_in(course, "empty", name, (course / "release" / name / f"{name}.ipynb").read_text())
        run("grade", course)
        return course

    return course_of


@pytest.fixture(scope="session")
def graded(class_of: Callable[[str], Path]) -> Path:
    """The class of the first assignment, with malice too and a second assignment, under tighter limits."""
    course = class_of("stages")
    if THOROUGH:
        run("release", course, "--variant", str(VARIANT), "rates")
        hand_in(course, "empty", "rates", (course / "release" / "rates" / "rates.ipynb").read_text())
    with (course / "nbgrader_config.py").open("a") as file:
        file.write(LIMITS)
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        for student, hostile in MALICE.items():
            notebook = answered(course, "stages")
            broken = hostile.change(notebook)
            for cell in notebook.cells:
                for word, meant in {"COURSE": course, "SOURCES": FOLDER, "PORT": server.server_address[1]}.items():
                    cell.source = cell.source.replace(word, str(meant))
            hand_in(course, student, "stages", broken or notebook)
        hand_in(course, "missing", "stages", "").rename(course / "submitted" / "missing" / "stages" / "essay.docx")
        hand_in(course, "linked", "stages", answered(course, "stages"))
        (course / "submitted" / "linked" / "stages" / "loot").symlink_to(course / "gradebook.db")
        said = run("grade", course)
    assert " refused" in said
    return course


@pytest.mark.parametrize("name", in_time(SOURCES, slow=OTHERS))
def test_a_release_has_no_solution_and_no_hidden_test_left(name: str, released: Callable[[str], Path]) -> None:
    notebook = nbformat.read(released(name) / "release" / name / f"{name}.ipynb", 4)
    assert not left_in(notebook, nbformat.read(SOURCES[name], 4))
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "NotImplementedError" in text
    assert f"VARIANT = {VARIANT}" in text


def test_the_scan_finds_a_solution_that_was_left() -> None:
    source = nbformat.read(SOURCES["stages"], 4)
    solution = "sum(p.numel() for p in parameters if p.requires_grad),"
    leaky = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"# an idea\n    {solution}")])
    assert left_in(leaky, source) == [solution]
    assert left_in(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("### BEGIN SOLUTION")]), source)


@pytest.mark.parametrize("name", SOURCES)
def test_an_assignment_has_100_points_and_says_its_minutes(name: str) -> None:
    cells = nbformat.read(SOURCES[name], 4).cells
    assert sum(cell.metadata.get("nbgrader", {}).get("points") or 0 for cell in cells) == 100
    assert re.search(r"\*\*About \d+ minutes\*\*", cells[0].source)
    assert len(WRONG[name]) >= 5


@shut_in
@pytest.mark.parametrize("name", in_time(SOURCES, slow=OTHERS))
def test_the_full_solution_earns_every_automatic_point(name: str, class_of: Callable[[str], Path]) -> None:
    line = report(class_of(name))["full", name]
    by_hand = sum(
        cell.metadata.nbgrader.points
        for cell in nbformat.read(SOURCES[name], 4).cells
        if cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("grade")
    )
    assert (line["status"], float(line["points"]), line["lost"]) == ("graded", 100 - by_hand, "")


@shut_in
@pytest.mark.parametrize("name", in_time(SOURCES, slow=OTHERS))
def test_an_empty_release_earns_nothing(name: str, class_of: Callable[[str], Path]) -> None:
    line = report(class_of(name))["empty", name]
    assert (line["status"], float(line["points"]), line["by_hand"]) == ("graded", 0, "0")


@shut_in
@pytest.mark.parametrize("student", in_time(HOSTILE, slow=HOSTILE.keys() - EVERYDAY))
def test_a_hostile_submission_loses_what_it_should_and_is_reported(student: str, graded: Path) -> None:
    hostile, line = HOSTILE[student], report(graded)[student, "stages"]
    assert line["status"] == ("refused" if hostile.refused else "graded")
    assert hostile.notes in line["notes"] if hostile.notes else not line["notes"]
    if not hostile.refused:
        assert set(lost(graded, student, "stages")) == hostile.loses
    if hostile.prints:
        assert hostile.prints in printed(graded, student)


@pytest.fixture(scope="session")
def attempts() -> Callable[[str], list[dict[str, tuple[str, bool]]]]:
    """For each typical wrong solution of an assignment the tests that it fails: the message, and whether it is seen."""

    @functools.cache
    def attempt(name: str) -> list[dict[str, tuple[str, bool]]]:
        command = [sys.executable, "-m", "submissions.attempt", str(SOURCES[name])]
        model = model_answers(name)
        answers = json.dumps([wrong.answers(model) for wrong in WRONG[name]])
        here = Path(__file__).parent
        done = subprocess.run(command, input=answers, capture_output=True, text=True, check=True, cwd=here)
        return json.loads(done.stdout)

    return attempt


@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(n, i, id=f"{n}: {wrong.name}", marks=[pytest.mark.thorough] if n in TRAINED else [])
        for n, found in WRONG.items()
        for i, wrong in enumerate(found)
    ],
)
def test_a_typical_mistake_loses_exactly_its_points_and_is_told_why(
    name: str, number: int, attempts: Callable[[str], list[dict[str, tuple[str, bool]]]]
) -> None:
    wrong, failed = WRONG[name][number], attempts(name)[number]
    assert set(failed) == wrong.loses
    assert any(wrong.says in message for message, _ in failed.values()), failed
    assert any(seen for _, seen in failed.values()) != bool(wrong.hidden), "a student should meet it before handing in"


def handed(notebook: NotebookNode) -> dict[str, str]:
    """What is taken for each cell of assignment 1."""
    released = nbformat.read(SOURCES["stages"], 4).cells
    found, _ = locate(released, notebook.cells)
    return {
        name_of(released[here]): notebook.cells[there].source
        for here, there in found.items()
        if name_of(released[here])
    }


def lose_metadata(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.metadata = NotebookNode()


def lose_ids(notebook: NotebookNode) -> None:
    lose_metadata(notebook)
    for cell in notebook.cells:
        del cell["id"]


def damage_metadata(notebook: NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.metadata = NotebookNode(nbgrader=[None, "lost", [], NotebookNode()][number % 4])


def lose_and_scribble(notebook: NotebookNode) -> None:
    lose_ids(notebook)
    for place in range(len(notebook.cells), 0, -2):
        notebook.cells.insert(place, nbformat.v4.new_code_cell(f"print({place})"))


@pytest.mark.parametrize("lose", [lose_metadata, lose_ids, damage_metadata, lose_and_scribble])
def test_answers_are_found_when_their_cells_lost_their_marks(lose: Callable[[NotebookNode], None]) -> None:
    notebook, answers = nbformat.read(SOURCES["stages"], 4), model_answers("stages") | {"words": "My own words."}
    for cell, source in answers.items():
        cell_of(notebook, cell).source = source
    lose(notebook)
    found = handed(notebook)
    assert {cell: found[cell] for cell in answers} == answers


@pytest.mark.parametrize("where", ["a cell after it", "the cell of the question"])
def test_words_beside_an_untouched_answer_are_taken_for_it(where: str) -> None:
    notebook = nbformat.read(SOURCES["stages"], 4)
    place = notebook.cells.index(cell_of(notebook, "words"))
    if where == "a cell after it":
        notebook.cells.append(nbformat.v4.new_markdown_cell("My own words."))
    else:
        notebook.cells[place - 1].source += "\n\nMy own words."
    assert handed(notebook)["words"].endswith("My own words.")


def test_a_notebook_without_a_cell_to_answer_in_or_of_another_assignment_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stages.ipynb"
    for notebook, why in (
        (nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("pass")]), "none of the cells to answer in is left"),
        (nbformat.read(SOURCES["frozen"], 4), "holds the cells of the assignment frozen"),
        (nbformat.read(SOURCES["stages"], 4), ""),
    ):
        nbformat.write(notebook, path)
        assert why in refuse(tmp_path, "stages")
        assert bool(why) == bool(refuse(tmp_path, "stages"))


def test_what_stops_a_cell_is_told_in_words_with_cell_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kernels" / KERNEL
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "plain", "language": "python", "interrupt_mode": "message"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    code, told = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [
        told("## 1. Counting"),
        code("def count(n):\n    found = (n,\n    return found\n"),
        code("count(3)"),
        code("def spin(n):\n    while n:\n        n = n + 1\n"),
        told("## 2. Spinning"),
        code("spin(3)"),
        code("if True:\nprint(1)"),
        code("eval('1 +')"),
    ]
    runner = Run(timeout=5, kernel_name=KERNEL)
    notebook, _ = runner.preprocess(nbformat.v4.new_notebook(cells=cells), {"metadata": {"path": str(tmp_path)}})
    says = [" ".join(out.evalue for out in cell.get("outputs", []) if "evalue" in out) for cell in notebook.cells]
    assert says[1].startswith("Python cannot read line 2 of cell 2 (under “1. Counting”): '(' was never closed.")
    assert says[2].startswith("count is missing. Python cannot read line 2 of cell 2")
    assert re.search(r"took more than 5 s.* stopped at line \d of cell 4 \(under “1. Counting”\), in spin", says[5])
    assert says[6].startswith("Python cannot read line 2 of cell 7 (under “2. Spinning”): expected an indented block")
    assert says[7] == "invalid syntax (<string>, line 1)"
    notes = caplog.text
    assert "cell 6 (under “2. Spinning”) took more than 5 s" in notes
    assert "nothing in that cell was run" in notes


def test_each_test_has_one_row_among_the_misconceptions() -> None:
    tests = [
        f"{assignment}/{name_of(cell)}"
        for assignment, path in SOURCES.items()
        for cell in nbformat.read(path, 4).cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
    ]
    with (FOLDER / "misconceptions.csv").open(newline="", encoding="utf8") as file:
        named = [test for row in csv.DictReader(file) for test in row["tests"].split()]
    assert sorted(named) == sorted(tests)
    assert set(beliefs()) == set(tests)


def test_the_class_table_counts_who_failed_what_and_names_the_misconception(tmp_path: Path) -> None:
    lost = [
        {"test-count": "AssertionError: <tensors> instead of numbers", "test-share": "NotImplementedError: "},
        {"test-count": "AssertionError: <tensors> instead of numbers"},
        {"test-count": "NotImplementedError: ", "test-thaw": "half a letter: \ud800"},
        {},
    ]
    lines = [{"assignment": "stages", "status": "graded", "lost": found} for found in lost]
    class_table(tmp_path, [*lines, {"assignment": "stages", "status": "refused", "lost": {"test-thaw": "no"}}])
    with (tmp_path / "class.csv").open(newline="", encoding="utf8") as file:
        rows = {row["test"]: row for row in csv.DictReader(file)}
    found = rows["test-count"]
    assert [found[key] for key in ("graded", "failed", "of them not written")] == ["4", "3", "1"]
    assert found["most were told"] == "AssertionError: <tensors> instead of numbers"
    assert found["may believe"] == beliefs()["stages/test-count"]["students believe"]
    assert (rows["test-share"]["most were told"], rows["test-thaw"]["failed"]) == ("", "1")
    page = (tmp_path / "class.html").read_text()
    assert "&lt;tensors&gt;" in page
    assert "test-features-mode" not in page
    assert page.index("test-count") < page.index("test-share")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    if page.suffix == ".ipynb":
        text = "\n".join(cell.source for cell in nbformat.read(page, 4).cells if cell.cell_type == "markdown")
    else:
        text = page.read_text()
    titles = re.findall(r"(?m)^#+ +(.+)$", text)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("assignment", SOURCES)
def test_each_answer_in_words_names_a_section_that_prepares_it(assignment: str) -> None:
    cells = nbformat.read(SOURCES[assignment], 4).cells
    for place, cell in enumerate(cells):
        told = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "markdown" and told.get("grade"):
            links = re.findall(r"\]\((lessons/\w+)\.html#([^)]+)\)", cells[place - 1].source)
            assert links, told.grade_id
            for lesson, anchor in links:
                assert anchor in anchors(FOLDER.parents[1] / f"{lesson}.ipynb"), (lesson, anchor)


def test_the_slides_are_seven_for_each_lesson_and_lead_to_sections_that_exist() -> None:
    page = FOLDER.parents[1] / "book" / "slides.md"
    text = page.read_text()
    lessons = re.findall(r"(?ms)^## (\d+): .*?(?=^## |\Z)", text)
    assert lessons == [str(number) for number in range(1, 14)]
    for part in re.split(r"(?m)^## ", text)[1:]:
        assert re.findall(r"(?m)^(\d)\. \*\*", part) == list("1234567")
    for target, anchor in re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", text):
        goal = page.parent / target
        assert goal.exists(), target
        assert not anchor or anchor in anchors(goal), f"{target}#{anchor}"


def test_a_release_links_to_the_lessons_where_the_class_reads_them() -> None:
    cell = nbformat.v4.new_markdown_cell("see [lesson 5, *Frozen?*](lessons/05_x.html#frozen).")
    said = [
        SetVariant(site=site).preprocess_cell(cell.copy(), {}, 0)[0].source for site in ("", "https://a.example/c/")
    ]
    assert said == [
        "see lesson 5, *Frozen?* (`lessons/05_x.html#frozen`).",
        "see [lesson 5, *Frozen?*](https://a.example/c/lessons/05_x.html#frozen).",
    ]


def test_another_class_has_another_network_images_classes_or_cut() -> None:
    setup = cell_of(nbformat.read(SOURCES["stages"], 4), "setup").source
    choices = setup[setup.index("dice =") : setup.index("splits =")]
    seen = []
    for variant in range(2024, 2034):
        space: dict[str, object] = {"VARIANT": variant, "random": random}
        exec(choices, space)
        seen.append(tuple(space[key] for key in ("NETWORK", "SOURCE", "CLASSES", "CUT")))
    assert len(set(seen)) >= 9
    assert all(len({choice[part] for choice in seen}) > 1 for part in range(4))


@shut_in
def test_words_that_are_missing_or_stood_in_a_cell_without_marks_wait_to_be_read(graded: Path) -> None:
    for student in ("metadata and ids lost", "words deleted"):
        assert report(graded)[student, "stages"]["by_hand"] == "1"
    told = report(graded)["a bracket not closed", "stages"]["lost"]
    assert "test-count: NameError: count is missing. Python cannot read line 2 of cell 4" in told


@shut_in
def test_nothing_of_the_course_was_harmed(graded: Path) -> None:
    assert all(path.exists() for path in SOURCES.values())
    assert (graded / "gradebook.db").exists()
    assert len(list(graded.glob("submitted/*/*"))) == 2 + THOROUGH + len(MALICE) + 2


@shut_in
def test_what_is_no_submission_is_refused_with_a_reason(graded: Path) -> None:
    lines = report(graded)
    assert "there is no stages.ipynb in it, but essay.docx" in lines["missing", "stages"]["notes"]
    assert "loot is a link" in lines["linked", "stages"]["notes"]


@shut_in
def test_grades_and_feedback_are_there_for_everyone_who_was_graded(graded: Path) -> None:
    with (graded / "grades.csv").open(newline="") as file:
        rows = {(row["student_id"], row["assignment"]): float(row["score"]) for row in csv.DictReader(file)}
    for (student, name), line in report(graded).items():
        if line["status"] == "graded":
            assert rows[student, name] == float(line["points"])
            assert (graded / "feedback" / student / name / f"{name}.html").exists()


@shut_in
def test_grading_again_repeats_nothing_and_a_new_submission_is_graded_anew(graded: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in graded.glob("graded/*/*.json")}
    path = graded / "submitted" / "test edited" / "stages" / "stages.ipynb"
    kept = path.read_text()
    nbformat.write(answered(graded, "stages", {"count": "def count(module):\n    return 0, 0\n"}), path)
    try:
        run("grade", graded)
        after = {path: path.stat().st_mtime_ns for path in graded.glob("graded/*/*.json")}
        changed = [path.parent.name for path in after if after[path] != before[path]]
        assert changed == ["test edited"]
        assert set(lost(graded, "test edited", "stages")) == {"test-count", "test-share"}
    finally:
        path.write_text(kept)


@pytest.mark.thorough
@shut_in
def test_graded_one_at_a_time_the_report_still_has_every_submission_and_stray_files_are_named(graded: Path) -> None:
    before = report(graded)
    stray = graded / "submitted" / "ada_stages.ipynb"
    stray.write_text("{}")
    try:
        said = run("grade", graded, "rates")
    finally:
        stray.unlink()
    assert "ada_stages.ipynb is left out: put it at" in said
    assert "empty rates: graded before" in said
    assert report(graded) == before


@shut_in
@pytest.mark.parametrize("kernel", [(), ("--ExecutePreprocessor.kernel_name=python3",)])
def test_nbgrader_alone_runs_no_submission_for_nothing_would_shut_it_in(
    tmp_path: Path, kernel: tuple[str, ...]
) -> None:
    course, escaped = tmp_path / "course", tmp_path / "escaped"
    run("release", course, "stages")
    notebook = answered(course, "stages")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"open({str(escaped)!r}, 'w')"))
    hand_in(course, "ada", "stages", notebook)
    command = [sys.executable, "-m", "nbgrader", "autograde", "stages", "--create", *kernel]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "use make grade" in done.stderr + done.stdout
    assert not escaped.exists()


@shut_in
def test_a_submission_that_is_refused_no_longer_has_the_points_of_the_one_before(graded: Path) -> None:
    path = graded / "submitted" / "other kernel" / "stages" / "stages.ipynb"
    kept = path.read_text()
    path.write_text("no notebook")
    try:
        run("grade", graded)
        assert report(graded)["other kernel", "stages"]["status"] == "refused"
        with (graded / "grades.csv").open(newline="") as file:
            scores = {
                row["student_id"]: float(row["score"]) for row in csv.DictReader(file) if row["assignment"] == "stages"
            }
        assert scores.get("other kernel", 0) == 0
    finally:
        path.write_text(kept)


@pytest.mark.thorough
@shut_in
def test_grading_that_is_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    course = tmp_path / "course"
    run("release", course, "stages")
    for student in ("ada", "ben", "cem"):
        hand_in(course, student, "stages", answered(course, "stages"))
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), "grade", "--course", str(course), "--jobs", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "ada" in process.stdout.readline()
    time.sleep(4)  # somewhere in the second
    process.kill()
    process.wait()
    first = (course / "graded" / "ada" / "stages.json").stat().st_mtime_ns
    run("grade", course)
    assert (course / "graded" / "ada" / "stages.json").stat().st_mtime_ns == first
    lines = report(course)
    assert [student for student, _ in lines] == ["ada", "ben", "cem"]
    assert all(line["points"] == "90.0" for line in lines.values())


@shut_in
def test_points_given_by_hand_arrive_in_the_lists_and_in_the_feedback(graded: Path) -> None:
    name = "stages"
    page = graded / "feedback" / "full" / name / f"{name}.html"
    before, automatic = page.read_text(), float(report(graded)["full", name]["points"])
    with Gradebook(f"sqlite:///{graded}/gradebook.db") as gradebook:
        for grade in gradebook.find_submission_notebook(name, name, "full").grades:
            if grade.needs_manual_grade:
                grade.manual_score, grade.needs_manual_grade = grade.max_score, False
        gradebook.db.commit()
    run("grade", graded)
    line = report(graded)["full", name]
    assert (float(line["points"]), line["by_hand"]) == (100, "0") != (automatic, "0")
    assert page.read_text() != before


def test_an_assignment_goes_out_and_comes_back_through_the_exchange(
    released: Callable[[str], Path], tmp_path: Path
) -> None:
    course = released("stages")
    exchange, home = tmp_path / "exchange", tmp_path / "ada"
    exchange.mkdir(mode=0o777)
    exchange.chmod(0o777)
    home.mkdir()
    settings = [f"--Exchange.root={exchange}", "--course=head-start", f"--Exchange.cache={tmp_path / 'cache'}"]

    def nbgrader(where: Path, *words: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *words, *settings]
        environment = {**os.environ, "USER": "ada", "HOME": str(home)}
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    nbgrader(course, "release_assignment", "stages")
    nbgrader(home, "fetch_assignment", "stages")
    notebook = home / "stages" / "stages.ipynb"
    assert notebook.read_bytes() == (course / "release" / "stages" / "stages.ipynb").read_bytes()
    nbgrader(home, "submit", "stages")
    collected = tmp_path / "collected"
    nbgrader(course, "collect", "stages", f"--CourseDirectory.submitted_directory={collected}")
    assert [path.name for path in collected.glob("*/stages/*.ipynb")] == ["stages.ipynb"]


def test_the_guide_says_the_points_and_minutes_of_each_assignment() -> None:
    guide = (FOLDER.parents[1] / "book" / "for-teachers.md").read_text()
    rows = re.findall(r"(?m)^\| \d `(\w+)`: .* \| (\d+) \| (\d+) \| (\d+) \|", guide)
    assert {row[0] for row in rows} == set(SOURCES)
    for name, minutes, automatic, by_hand in rows:
        cells = nbformat.read(SOURCES[name], 4).cells
        points = {"code": 0, "markdown": 0}
        for cell in cells:
            points[cell.cell_type] += cell.metadata.get("nbgrader", {}).get("points") or 0
        assert (points["code"], points["markdown"]) == (int(automatic), int(by_hand))
        assert f"**About {minutes} minutes**" in cells[0].source


def test_both_guides_say_the_limits_that_hold() -> None:
    memory, seconds = MEMORY >> 30, Run.notebook_seconds.default_value
    assert (memory, seconds) == (8, 600)
    assert seconds < CPU_SECONDS
    for page in ("for-teachers", "for-students"):
        guide = (FOLDER.parents[1] / "book" / f"{page}.md").read_text()
        assert f"{memory} GB" in guide
        assert re.search(r"\bten minutes\b|\bten for a notebook\b", guide)
