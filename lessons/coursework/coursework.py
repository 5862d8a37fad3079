"""The coursework: what nbgrader does not do by itself.

    python lessons/coursework/coursework.py release --variant 2027   # student notebooks in course/release
    python lessons/coursework/coursework.py grade                    # course/submitted → feedback, lists, class.html

nbgrader (https://nbgrader.readthedocs.io) makes the notebooks for students, runs them, counts the points and keeps the
gradebook. Added here: a variant of the data for every class; a scan for solutions left in a release; answers put
into the teacher's notebook instead of trusting the student's; a kernel that is shut in (`sandbox.py`) and
limited in time, memory and output; proof that what tests rely on was not replaced; and a report with a line for each
submission, whatever became of it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.utils import is_grade, is_solution
from transferlib.files.whole import write_whole

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source"
sys.path.insert(0, str(HERE))

from preprocessors import KERNEL, NOTE, locate, name
from sandbox import obstacle

ROOT = HERE.parents[1]
PACKAGE = ROOT / "transferlib"
SIZE = 20 << 20  # bytes of a submission
PATIENCE = 1800  # seconds for one submission, should its own limits fail
LEFT = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)")


def nbgrader(course: Path, *words: str, seconds: float | None = None, **environment: str) -> tuple[bool, str]:
    """Run nbgrader in the course folder: whether it succeeded, and what it said."""
    command = [sys.executable, "-m", "nbgrader", *words]
    process = subprocess.Popen(
        command,
        cwd=course,
        # nbgrader calls other programs of this environment by their names.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONUTF8": "1"}
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf8",
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return False, f"{NOTE}gave no sign of life for {seconds:.0f} s and was stopped"
    return process.returncode == 0, said


def must(course: Path, *words: str) -> None:
    """Run nbgrader, or end with what it said."""
    good, said = nbgrader(course, *words)
    if not good:
        raise SystemExit(f"{said}\nnbgrader {words[0]} failed; what it said stands above")


def prepare(course: Path) -> None:
    """Make the course folder, with nbgrader's configuration in it."""
    course.mkdir(parents=True, exist_ok=True)
    path = course / "nbgrader_config.py"
    if path.exists():
        return
    config = f"c = get_config()\nload_subconfig({str(HERE / 'nbgrader_config.py')!r})\n"
    config += "# Settings of this class, for example: c.Run.timeout = 60\n"
    write_whole(path, config.encode())


def assignments(only: list[str]) -> list[str]:
    """The names of the assignments, in the order of the course."""
    found = sorted(path.parent.name for path in SOURCE.glob("*/*.ipynb"))
    if unknown := set(only) - set(found):
        raise SystemExit(f"there is no assignment {', '.join(sorted(unknown))}; there are: {', '.join(found)}")
    return only or found


def left_in(released: NotebookNode, source: NotebookNode) -> list[str]:
    """What a release should not have: marks, and lines of solutions and hidden tests that stand nowhere else."""
    hidden, shown = set(), set()
    for cell in source.cells:
        inside = False
        for line in cell.source.splitlines():
            if LEFT.search(line):
                inside = "BEGIN" in line
            elif len(line.strip()) > 12:  # shorter ones, such as `return x`, say nothing
                (hidden if inside else shown).add(line.strip())
    text = "\n".join(cell.source for cell in released.cells)
    lines = {line.strip() for line in text.splitlines()}
    return [mark[0] for mark in LEFT.finditer(text)] + sorted((hidden - shown) & lines)


def release(course: Path, names: list[str], variant: int, site: str) -> None:
    """Write the student notebooks of a variant to `course/release`; site: where the class reads the lessons."""
    prepare(course)
    for assignment in assignments(names):
        must(course, "generate_assignment", assignment, "--force", "--create", f"--SetVariant.variant={variant}",
             f"--SetVariant.site={site}")  # fmt: skip
        path, source = (folder / assignment / f"{assignment}.ipynb" for folder in (course / "release", SOURCE))
        if left := left_in(nbformat.read(path, 4), nbformat.read(source, 4)):
            path.unlink()
            raise SystemExit(f"{assignment}: the release still held {left[0]!r}; it was deleted")
        print(f"{path}  variant {variant}, no solution and no hidden test in it", flush=True)


def refuse(folder: Path, assignment: str) -> str:
    """Why a submission cannot be graded at all; empty where it can."""
    path = folder / f"{assignment}.ipynb"
    files = [*folder.rglob("*")]
    if links := [file.name for file in files if file.is_symlink()]:
        return f"{links[0]} is a link; only files are taken"
    if not path.is_file():
        others = ", ".join(sorted(file.name for file in files)[:5]) or "nothing"
        return f"there is no {path.name} in it, but {others}"
    if (size := sum(file.stat().st_size for file in files if file.is_file())) > SIZE:
        return f"it has {size / 2**20:.0f} MB; the limit is {SIZE >> 20} MB"
    try:
        handed = nbformat.read(path, as_version=4).cells
        known = {other: answers_in(handed, other) for other in assignments([])}
    except Exception as error:  # nbformat has no common class for what it cannot read
        return f"{path.name} is not a notebook: {str(error).splitlines()[0][:150]}"
    most = max(known, key=known.__getitem__)
    if known[most] > known[assignment]:
        return f"{path.name} holds the cells of the assignment {most}: it has the wrong name"
    if not known[assignment]:
        return f"none of the cells to answer in is left in {path.name}: begin with the notebook that was given out"
    return ""


def answers_in(handed: list[NotebookNode], assignment: str) -> int:
    """How many of an assignment's cells to answer in are among those handed in."""
    cells = nbformat.read(SOURCE / assignment / f"{assignment}.ipynb", 4).cells
    return sum(is_solution(cells[place]) for place in locate(cells, handed, by_place=False)[0])


def fingerprint(course: Path, student: str, assignment: str) -> str:
    """Changes when the submission changes or the assignment is released anew."""
    told = hashlib.sha256()
    folder = course / "submitted" / student / assignment
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        told.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
        told.update(file.read_bytes() if file.stat().st_size <= SIZE else b"")
    told.update((course / "release" / assignment / f"{assignment}.ipynb").read_bytes())
    return told.hexdigest()


def grade_one(course: Path, student: str, assignment: str, isolated: bool) -> dict[str, Any]:
    """Grade a submission, unless this very one has been graded; returns its line of the report."""
    record = course / "graded" / student / f"{assignment}.json"
    mark = fingerprint(course, student, assignment)
    if record.exists() and (told := json.loads(record.read_text()))["fingerprint"] == mark:
        return by_hand_since(course, record, told) | {"kept": True}
    told = {"student": student, "assignment": assignment, "fingerprint": mark, "status": "refused"}
    told |= {"points": 0.0, "possible": 0.0, "by_hand": 0, "seconds": 0.0, "notes": [], "lost": {}}
    for kind in ("autograded", "feedback"):
        shutil.rmtree(course / kind / student / assignment, ignore_errors=True)
    begin = time.monotonic()
    if why := refuse(course / "submitted" / student / assignment, assignment):
        told["notes"] = [why]
    else:
        with tempfile.TemporaryDirectory(prefix="grade-") as folder:
            good, said = nbgrader(course, *kernel(Path(folder), student, assignment, isolated), JUPYTER_PATH=folder,
                                  seconds=PATIENCE)  # fmt: skip
        told["notes"] = re.findall(rf"{NOTE}(.*)", said)
        if good:
            told |= {"status": "graded"} | earned(course, student, assignment)
        else:
            write_whole(record.with_suffix(".log"), said.encode())
            why = re.findall(r"(?m)^\s*(\w*(?:Error|Exception)\b.*)", said)
            told["notes"].append(f"{why[-1][:300] if why else 'no reason was given'} ({record.stem}.log)")
    if told["status"] == "refused":
        forget(course, student, assignment)
    told["seconds"] = round(time.monotonic() - begin, 1)
    write_whole(record, json.dumps(told, indent=1).encode())
    return told


def forget(course: Path, student: str, assignment: str) -> None:
    """Take an earlier submission's points out of the gradebook, or they would still count."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook, suppress(MissingEntry):
        gradebook.remove_submission(assignment, student)


def by_hand_since(course: Path, record: Path, told: dict[str, Any]) -> dict[str, Any]:
    """The line of a graded submission, with what a person has given since."""
    if told["status"] == "graded":
        now = told | earned(course, told["student"], told["assignment"])
        if now != told:
            shutil.rmtree(course / "feedback" / told["student"] / told["assignment"], ignore_errors=True)
            write_whole(record, json.dumps(now, indent=1).encode())
        return now
    return told


def kernel(folder: Path, student: str, assignment: str, isolated: bool) -> list[str]:
    """nbgrader's words to grade one submission in a kernel of its own, whose files are in the folder."""
    argv = [sys.executable, str(HERE / "sandbox.py"), "{connection_file}", str(PACKAGE)]
    spec = {
        "argv": argv if isolated else [*argv, "--open"],
        "display_name": "submission",
        "language": "python",
        "interrupt_mode": "message",  # a signal would end the wall, not reach the kernel
    }
    path = folder / "kernels" / KERNEL / "kernel.json"
    path.parent.mkdir(parents=True)
    (folder / "shared").mkdir()
    path.write_text(json.dumps(spec))
    return [
        "autograde",
        assignment,
        f"--student={student}",
        "--force",
        "--create",
        f"--ExecutePreprocessor.kernel_name={KERNEL}",
        "--KernelManager.transport=ipc",
        f"--KernelManager.connection_file={folder}/shared/kernel.json",
        f"--KernelManager.ip={folder}/shared/kernel",
    ]


def earned(course: Path, student: str, assignment: str) -> dict[str, Any]:
    """Points, and for each test that failed what the student is told."""
    notebook = nbformat.read(course / "autograded" / student / assignment / f"{assignment}.ipynb", 4)
    errors = {
        name(cell): f"{out.ename}: {out.evalue}"[:500]
        for cell in notebook.cells
        if cell.cell_type == "code" and is_grade(cell)
        for out in cell.outputs
        if out.output_type == "error"
    }
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        found = gradebook.find_submission_notebook(assignment, assignment, student)
        tests = {g.name: (g.auto_score or 0.0, g.max_score) for g in found.grades if g.cell_type == "code"}
        return {
            "points": found.score,
            "possible": found.max_score,
            "by_hand": sum(bool(g.needs_manual_grade) for g in found.grades),
            "lost": {n: errors.get(n, "") for n, (got, most) in tests.items() if got < most},
        }


def grade(course: Path, names: list[str], jobs: int, isolated: bool) -> list[dict[str, Any]]:
    """Grade what is new in `course/submitted`; write feedback, grades.csv and report.csv."""
    if isolated and (why := obstacle()):
        raise SystemExit(
            f"{why}\nSubmissions are programs of strangers: without it they could read and change what you can."
            "\nOnly if you trust every one of them: make grade OPEN=1"
        )
    prepare(course)
    released = [n for n in assignments(names) if (course / "release" / n / f"{n}.ipynb").exists()]
    found = [(p.parent.name, p.name) for p in sorted(course.glob("submitted/*/*")) if p.name in released]
    if not found:
        raise SystemExit(
            f"nothing to grade: put each submission at {course}/submitted/STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb"
        )
    for stray in sorted(path.name for path in course.glob("submitted/*") if path.is_file()):
        print(f"{stray} is left out: put it at {course}/submitted/STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb")
    lines: list[dict[str, Any]] = []
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(grade_one, course, *pair, isolated) for pair in found]
        for number, done in enumerate(waiting, start=1):
            line = done.result()
            lines.append(line)
            notes = "".join(f"\n    {note}" for note in line["notes"])
            status = f"{line['status']} before" if line.get("kept") else line["status"]
            points = f", {line['points']:g} of {line['possible']:g} points" if line["possible"] else ""
            print(f"{number}/{len(found)} {line['student']} {line['assignment']}: {status}{points}{notes}", flush=True)
    for assignment in sorted({line["assignment"] for line in lines if line["status"] == "graded"}):
        must(course, "generate_feedback", assignment)
    must(course, "export", f"--to={course}/grades.csv")
    records = (json.loads(path.read_text()) for path in sorted(course.glob("graded/*/*.json")))
    everything = [line for line in records if (course / "submitted" / line["student"] / line["assignment"]).exists()]
    columns = ["student", "assignment", "status", "points", "possible", "by_hand", "seconds", "notes", "lost"]
    with (course / "report.part").open("w", newline="", encoding="utf8", errors="replace") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for line in everything:
            lost = "; ".join(f"{test}: {why}" for test, why in line["lost"].items())
            writer.writerow(line | {"notes": "; ".join(line["notes"]), "lost": lost})
    (course / "report.part").replace(course / "report.csv")
    class_table(course, everything)
    refused = sum(line["status"] == "refused" for line in lines)
    print(f"{len(lines) - refused} graded, {refused} refused. Points for an LMS: {course}/grades.csv; "
          f"what happened: {course}/report.csv; for students: {course}/feedback; "
          f"what the class found hard: {course}/class.html")  # fmt: skip
    return lines


def beliefs() -> dict[str, dict[str, str]]:
    """The row of the table of misconceptions that a test belongs to, by ASSIGNMENT/TEST."""
    with (HERE / "misconceptions.csv").open(newline="", encoding="utf8") as file:
        return {test: row for row in csv.DictReader(file) for test in row["tests"].split()}


def class_table(course: Path, lines: list[dict[str, Any]]) -> None:
    """Write class.csv and class.html: how many failed each test, what most were told, what they may believe."""
    believed, rows = beliefs(), []
    for assignment in assignments([]):
        graded = [line for line in lines if (line["assignment"], line["status"]) == (assignment, "graded")]
        for cell in nbformat.read(SOURCE / assignment / f"{assignment}.ipynb", 4).cells if graded else []:
            if cell.cell_type != "code" or not is_grade(cell):
                continue
            told = [line["lost"][name(cell)] for line in graded if name(cell) in line["lost"]]
            tried = [why for why in told if not why.startswith("NotImplementedError")]
            row = believed.get(f"{assignment}/{name(cell)}", {})
            rows.append({
                "assignment": assignment,
                "test": name(cell),
                "graded": len(graded),
                "failed": len(told),
                "of them not written": len(told) - len(tried),
                "most were told": Counter(tried).most_common(1)[0][0] if tried else "",
                "may believe": row.get("students believe", ""),
                "ask": row.get("ask", ""),
            })  # fmt: skip
    if not rows:
        return
    rows.sort(key=lambda row: row["of them not written"] - row["failed"])
    with (course / "class.part").open("w", newline="", encoding="utf8", errors="replace") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (course / "class.part").replace(course / "class.csv")
    cells = ["".join(f"<td>{escape(str(value))}</td>" for value in row.values()) for row in rows if row["failed"]]
    head = "".join(f"<th>{word}</th>" for word in rows[0])
    table = "".join(f"<tr>{cell}</tr>\n" for cell in [head, *cells])
    write_whole(course / "class.html", CLASS.replace("TABLE", table).encode(errors="replace"))


CLASS = """<!doctype html>
<html lang="en"><meta charset="utf8"><title>What the class found hard</title>
<style>
body { font: 1rem/1.4 sans-serif; margin: 2rem; }
th, td { border-bottom: 1px solid #999; padding: 0.4rem; text-align: left; vertical-align: top; }
</style>
<h1>What the class found hard</h1>
<p>Each test that somebody failed, those first that most have tried and failed. Tests that nobody failed are in
class.csv.</p>
<table>
TABLE</table>
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("release", "grade"))
    parser.add_argument("names", nargs="*", metavar="ASSIGNMENT", help="all, if none is named")
    parser.add_argument("--course", type=Path, default=ROOT / "course", help="the folder of your class")
    parser.add_argument("--variant", type=int, default=0, help="any whole number; another one every year")
    parser.add_argument("--site", default="", help="address at which the class reads the lessons, for links to them")
    jobs = max(1, (os.cpu_count() or 1) // 2)
    parser.add_argument("--jobs", type=int, default=jobs, help="submissions at a time")
    parser.add_argument("--open", action="store_true", help="without isolation: only for submissions you trust")
    given = parser.parse_intermixed_args()
    sys.stdout.reconfigure(errors="replace")  # a terminal that cannot write what a student wrote is no reason to stop
    course = given.course.resolve()
    if given.what == "release":
        release(course, given.names, given.variant, given.site)
    else:
        grade(course, given.names, given.jobs, isolated=not given.open)


if __name__ == "__main__":
    main()
