"""What happens to a notebook here beyond what nbgrader does: when it is released, and when it is graded."""

from __future__ import annotations

import ast
import json
import re
import secrets
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellTimeoutError
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from nbgrader.utils import is_grade, is_locked, is_solution
from traitlets import Integer, Unicode

NOTE = "COURSEWORK NOTE "
KERNEL = "submission"  # the name of the kernel that is shut in; every submission has its own


class SetVariant(NbGraderPreprocessor):
    """Gives every class its own data, and links to where it reads the lessons."""

    variant = Integer(0, help="any whole number; data, solution and tests follow it").tag(config=True)
    site = Unicode("", help="where the lessons are read, such as https://example.org/course").tag(config=True)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Another number in the line that is VARIANT = 0 and nothing else; links only where the site is known."""
        if cell.cell_type == "code":
            cell.source = re.sub(r"(?m)^VARIANT = 0$", f"VARIANT = {self.variant}", cell.source)
        else:
            shown = rf"[\1]({self.site.rstrip('/')}/\2)" if self.site else r"\1 (`\2`)"
            cell.source = re.sub(r"\[([^]]+)\]\((lessons/[^)]+)\)", shown, cell.source)
        return cell, resources


class Rebuild(NbGraderPreprocessor):
    """What is graded is the teacher's notebook with the student's answers in it.

    So a test cell that was deleted, edited, doubled, moved or made worth more is the teacher's again. Cells that the
    student added stay, before the cell that they stood before.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """nb: what was handed in; returns the notebook to be graded, still with the released tests."""
        told = resources["nbgrader"]
        # nbgrader works in the course folder
        path = Path("release", told["assignment"], f"{told['notebook']}.ipynb")
        released, handed = nbformat.read(path, as_version=4), nb.cells
        found, strays = locate(released.cells, handed)
        owner = {there: here for here, there in found.items()}
        added: dict[int, list[NotebookNode]] = {}
        waiting: list[NotebookNode] = []
        for there, cell in enumerate(handed):
            here = owner.get(there)
            if here is None:
                cell.metadata = NotebookNode({k: v for k, v in cell.get("metadata", {}).items() if k != "nbgrader"})
                waiting.append(cell)
            elif name(released.cells[here]):
                added[here], waiting = waiting, []
        notes: dict[str, list[str]] = {"found by id, text or place, without the mark of nbgrader": sorted(strays)}
        cells = []
        for here, cell in enumerate(released.cells):
            cells += added.get(here, [])
            cells.append(cell)
            if not name(cell):
                continue
            if here not in found:
                words = is_grade(cell) and is_solution(cell)
                what = NOT_FOUND if words else "missing, the teacher's were used"
                notes.setdefault(what, []).append(name(cell))
                if words:  # as it was released it would have 0 points; so it waits to be read
                    cell.source = f"({NOT_FOUND}.)"
            elif not is_locked(cell):
                cell.source = handed[found[here]].source
            elif cell.source != handed[found[here]].source:
                notes.setdefault("changed, the teacher's were used", []).append(name(cell))
        for what, names in notes.items():
            if names:
                self.log.warning(f"{NOTE}{what}: {', '.join(sorted(names))}")
        nb = released
        nb.cells = [*cells, *waiting]
        for index, cell in enumerate(nb.cells):
            cell.id = f"cell-{index}"
        return nb, resources


NOT_FOUND = "no answer in words was found here, so it waits to be looked at"


def name(cell: NotebookNode) -> str:
    """The cell's name for nbgrader, or nothing."""
    told = cell.get("metadata", {}).get("nbgrader")
    return str(told.get("grade_id", "")) if isinstance(told, dict) else ""


def defined(cell: NotebookNode) -> str:
    """The first function or class that a cell defines, also where it cannot be read as Python; or nothing."""
    first = re.search(r"(?m)^(?:def|class) +(\w+)", cell.source)
    return first[1] if first and cell.cell_type == "code" else ""


def locate(
    released: list[NotebookNode], handed: list[NotebookNode], by_place: bool = True
) -> tuple[dict[int, int], set[str]]:
    """For each released cell its place among those handed in, and the names of those found without nbgrader's mark.

    Editors and platforms drop metadata. So a cell is looked for by its name, then its id, its text and what it
    defines; an answer at last by its place, between the neighbours that were found.
    """
    found: dict[int, int] = {}
    strays: set[str] = set()

    def take(here: int, there: int, marked: bool = False) -> None:
        found[here] = there
        if not marked and name(released[here]):
            strays.add(name(released[here]))

    def text(cell: NotebookNode) -> str:
        return " ".join(cell.source.split())

    def marked_id(cell: NotebookNode) -> str:
        return str(cell.get("id") or "")

    for way in (name, marked_id, text, defined):
        places: dict[str, list[int]] = {}
        for here, cell in enumerate(released):
            # A text between the cells that was edited may hold an answer: it is no longer the released one.
            if here not in found and way(cell) and (name(cell) or way is text):
                places.setdefault(way(cell), []).append(here)
        for there, cell in enumerate(handed):
            if there not in found.values() and (same := places.get(way(cell))):
                take(same.pop(0), there, way is name)
    for here, cell in enumerate(released if by_place and found else []):
        untouched = here in found and cell.cell_type == "markdown" and text(handed[found[here]]) == text(cell)
        if not name(cell) or is_locked(cell) or (here in found and not untouched):
            continue
        before = max((there for place, there in found.items() if place < here), default=-1)
        after = min((there for place, there in found.items() if place > here), default=len(handed))
        kinds = {"code"} if cell.cell_type == "code" else {"markdown", "raw"}
        between = [
            there
            for there in range(before + 1, after)
            if there not in found.values() and handed[there].cell_type in kinds and text(handed[there])
        ]
        if between:
            take(here, between[-1])
    return found, strays


# Runs in the student's kernel before a test. It prints a number that nobody could know if nothing was replaced.
UNTOUCHED = """
def _untouched(given):
    import builtins, math, sys, types
    import numpy, torch, transferlib
    ip = sys.modules["IPython"].get_ipython()
    if ip.ast_transformers or ip.input_transformers_post or {"run_cell", "run_code"} & set(vars(ip)):
        return "how cells are run"
    for key in ("abs", "all", "any", "float", "int", "isinstance", "len", "max", "min", "round", "sorted", "sum"):
        value = ip.user_ns.get(key, getattr(builtins, key))
        if getattr(value, "__module__", "") != "builtins":
            return key
    for key in ("allclose", "equal", "isclose"):
        if not isinstance(getattr(torch, key), types.BuiltinFunctionType):
            return f"torch.{key}"
    own = [m for n, m in list(sys.modules.items()) if n.split(".")[0] == "transferlib"]
    homes = [builtins, math, numpy, torch, torch.nn, torch.nn.functional, torch.optim, torch.Tensor, torch.nn.Module]
    homes += own + [c for m in own for c in vars(m).values() if isinstance(c, type)]
    for home in homes:
        for key, value in list(vars(home).items()):
            if isinstance(value, (classmethod, staticmethod, property)):
                value = value.fget if isinstance(value, property) else value.__func__
            if not isinstance(value, (types.FunctionType, type)):
                continue
            code = getattr(value, "__code__", None)
            if (code and "ipykernel_" in code.co_filename) or value.__module__ == "__main__":
                return f"{home.__name__}.{key}"
    for key, value in given.items():
        if id(ip.user_ns.get(key)) != value:
            return key
    return ""
print(_untouched(GIVEN) or "NONCE")
del _untouched
"""
# What a locked cell gives for use: its functions, classes and modules.
GIVEN = """
def _given():
    import json, types
    kinds = types.FunctionType, types.ModuleType, type
    return json.dumps({k: id(v) for k, v in list(globals().items()) if k in NAMES and isinstance(v, kinds)})
print(_given())
del _given
"""


class Run(Execute):
    """nbgrader's execution, which loses nothing when a kernel dies, and stops at limits."""

    notebook_seconds = Integer(600, help="for all cells of a notebook together").tag(config=True)
    characters = Integer(500_000, help="what one cell may print; the rest is dropped").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any, km: Any = None) -> tuple[NotebookNode, Any]:
        """Run all cells; in no other kernel than the one that `make grade` has made."""
        if self.kernel_name != KERNEL:
            raise RuntimeError(
                "a submission is the program of a stranger, and nothing shuts it in here: use make grade"
            )
        self.ends = time.monotonic() + self.notebook_seconds
        self.over: tuple[str, str] | None = None  # no cell runs any more: what happened, and why
        self.given: dict[str, int] = {}  # names of the setup, and which objects they were
        self.printed: dict[int, int] = {}  # characters, by cell
        self.unread: dict[str, str] = {}  # names that a cell would have defined, and why it could not be read
        return super().preprocess(nb, resources, km)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Run one cell; where it cannot be run, it has failed."""
        if cell.cell_type != "code":
            return cell, resources
        try:
            if not self.over and time.monotonic() > self.ends:
                self.stop("OutOfTime", f"the notebook took more than {self.notebook_seconds} s in all")
            elif not self.over and not (is_grade(cell) and self.is_deceived(cell, index)):
                cell, resources = super().preprocess_cell(cell, resources, index)
                if is_grade(cell):  # nbgrader takes a warning in a test for a failure
                    cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
                self.look_at(cell, index)
        except CellTimeoutError:
            self.stop("Stuck", f"{self.place(index)} ran longer than {self.timeout} s and could not be interrupted")
        except Exception as error:  # whatever kills a kernel must not stop the batch
            self.stop("KernelDied", f"the kernel died in {self.place(index)} ({type(error).__name__})")
        if self.over:
            cell.outputs = [failure(*self.over)]
        return cell, resources

    def look_at(self, cell: NotebookNode, index: int) -> None:
        """Say in words what a cell ran into, and note what a locked one gives for use."""
        errors = {output.ename: output for output in cell.outputs if output.output_type == "error"}
        for kind, output in errors.items():
            if words := self.in_words(kind, output, cell, index):
                output.evalue = words
                output.traceback = [f"{kind}: {words}", *output.traceback]
        if "CellTimeoutError" in errors:
            limit, self.timeout = self.timeout, 10
            try:
                self.ask("", index)  # times out itself where the cell goes on
            finally:
                self.timeout = limit
        elif is_locked(cell) and not is_grade(cell) and not errors:
            names = repr(bound(cell.source))
            self.given |= json.loads(self.ask(GIVEN.replace("NAMES", names), index))

    def in_words(self, kind: str, error: NotebookNode, cell: NotebookNode, index: int) -> str:
        """What an error means, for somebody who sees it for the first time; empty where it says so itself."""
        here = self.place(index)
        # The number before .py is the kernel's for the cell: what eval() cannot read is in another file.
        if found := re.match(r"(?P<why>.*) \(\d+\.py, line (?P<line>\d+)\)$", error.evalue):
            told = f"Python cannot read line {found['line']} of {here}: {found['why']}"
            self.unread |= dict.fromkeys(re.findall(r"(?m)^(?:def |class )?(\w+)(?: *=[^=]|\()", cell.source), told)
            self.log.warning(f"{NOTE}{told}; nothing in that cell was run")
            return f"{told}. Nothing in that cell was run. Look at the end of the line before, too."
        if kind == "CellTimeoutError":
            where = self.interrupted(cell)
            self.log.warning(f"{NOTE}{here} took more than {self.timeout} s{where}")
            return (
                f"{here} took more than {self.timeout} s, which is the limit for a cell, and was stopped{where}. "
                "Is there a loop that never ends, or that asks the network more often than it has to?"
            )
        if kind == "MemoryError":
            self.log.warning(f"{NOTE}{here} ran out of memory")
            return f"{here} wanted more memory than a submission may have. Is there a list that grows with every step?"
        lost = re.search(r"name '(\w+)' is not defined", error.evalue)
        return f"{lost[1]} is missing. {self.unread[lost[1]]}" if lost and lost[1] in self.unread else ""

    def interrupted(self, cell: NotebookNode) -> str:
        """Where a cell was when its time was over, as the kernel's last words tell."""
        text = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(line for o in cell.outputs for line in o.get("traceback", [])))
        frames = re.findall(r"Cell In\[(\d+)\], line (\d+)(?:, in ([\w.]+))?", text)
        if not frames:
            return ""
        number, line, function = frames[-1]
        place = next((i for i, c in enumerate(self.nb.cells) if c.get("execution_count") == int(number)), None)
        there = f" of {self.place(place)}" if place is not None and self.nb.cells[place] is not cell else ""
        return f" at line {line}{there}{f', in {function}' if function else ''}"

    def place(self, index: int) -> str:
        """A cell in words: its number, and the heading it stands under."""
        text = "\n".join(cell.source for cell in self.nb.cells[:index] if cell.cell_type == "markdown")
        titles = re.findall(r"(?m)^#+ (.{1,60})", text)
        return f"cell {index + 1}" + (f" (under “{titles[-1]}”)" if titles else "")

    def stop(self, kind: str, why: str) -> None:
        """No cell after this one runs."""
        self.over = kind, why
        self.log.warning(f"{NOTE}{why}; what came after it has no points")

    def ask(self, code: str, index: int) -> str:
        """What the kernel prints to a question of the grader."""
        asked, kept = nbformat.v4.new_code_cell(code), self.nb.cells[index]
        self.execute_cell(asked, index, store_history=False)
        self.nb.cells[index] = kept  # the client has put the question there
        return "".join(output.get("text", output.get("evalue", "")) for output in asked.outputs).strip()

    def is_deceived(self, test: NotebookNode, index: int) -> bool:
        """Fail a test unless the kernel shows that what it relies on is what it was."""
        nonce = secrets.token_hex(16)
        answer = self.ask(UNTOUCHED.replace("GIVEN", repr(self.given)).replace("NONCE", nonce), index)
        if answer == nonce:
            return False
        found = answer.splitlines()[-1] if answer else "how cells are run"
        test.outputs = [failure("Replaced", f"the tests rely on {found}, which was replaced in this notebook")]
        self.log.warning(f"{NOTE}{found} was replaced before {name(test)}")
        return True

    def process_message(self, message: Any, cell: NotebookNode, index: int) -> Any:
        """Drop what a cell prints beyond the limit."""
        content = message["content"]
        if message["msg_type"] in {"stream", "display_data", "execute_result", "update_display_data"}:
            before = self.printed.get(index, 0)
            self.printed[index] = before + len(content.get("text", "")) + len(str(content.get("data", "")))
            if self.printed[index] > self.characters:
                if before <= self.characters:
                    limit = f"{self.characters} characters"
                    self.log.warning(f"{NOTE}cell {index + 1} printed more than {limit}; the rest was dropped")
                return None
        return super().process_message(message, cell, index)


def bound(source: str) -> set[str]:
    """The names that a cell defines or imports at its top level."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return found


def failure(kind: str, why: str) -> NotebookNode:
    """What a cell shows that failed without being run."""
    return nbformat.v4.new_output("error", ename=kind, evalue=why, traceback=[f"{kind}: {why}"])
