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
from nbgrader.utils import is_grade, is_locked
from traitlets import Integer

NOTE = "COURSEWORK NOTE "
KERNEL = "submission"  # the name of the kernel that is shut in; every submission has its own


class SetVariant(NbGraderPreprocessor):
    """Gives every class its own data: the setup cell's `VARIANT = 0` gets another number."""

    variant = Integer(0, help="any whole number; data, solution and tests follow it").tag(config=True)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Only the line that is VARIANT = 0 and nothing else."""
        if cell.cell_type == "code":
            cell.source = re.sub(r"(?m)^VARIANT = 0$", f"VARIANT = {self.variant}", cell.source)
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
        released = nbformat.read(path, as_version=4)
        known = {name(cell): cell for cell in released.cells if name(cell)}
        texts = {cell.id for cell in released.cells if not name(cell)}
        added: dict[str, list[NotebookNode]] = {}
        answers: dict[str, str] = {}
        waiting: list[NotebookNode] = []
        for cell in nb.cells:
            here = name(cell)
            if here in known and here not in answers:
                answers[here] = cell.source
                added[here], waiting = waiting, []
            elif cell.get("id") not in texts:
                cell.metadata.pop("nbgrader", None)
                waiting.append(cell)
        locked = {n for n, cell in known.items() if cell.metadata.nbgrader["locked"]}
        changed = sorted(n for n in locked & set(answers) if answers[n] != known[n].source)
        for what, names in (("changed", changed), ("missing", sorted(set(known) - set(answers)))):
            if names:
                self.log.warning(f"{NOTE}{what}, the teacher's were used: {', '.join(names)}")
        cells = []
        for cell in released.cells:
            cells += added.get(name(cell), [])
            if name(cell) not in locked and name(cell) in answers:
                cell.source = answers[name(cell)]
            cells.append(cell)
        nb = released
        nb.cells = [*cells, *waiting]
        for index, cell in enumerate(nb.cells):
            cell.id = f"cell-{index}"
        return nb, resources


def name(cell: NotebookNode) -> str:
    """The cell's name for nbgrader, or nothing."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


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
            self.stop("Stuck", f"cell {index + 1} could not be interrupted")
        except Exception as error:  # whatever kills a kernel must not stop the batch
            self.stop("KernelDied", f"the kernel died in cell {index + 1} ({type(error).__name__})")
        if self.over:
            cell.outputs = [failure(*self.over)]
        return cell, resources

    def look_at(self, cell: NotebookNode, index: int) -> None:
        """Note what a cell ran into, and what a locked one gives for use."""
        errors = {output.get("ename", "") for output in cell.outputs}
        if "MemoryError" in errors:
            self.log.warning(f"{NOTE}cell {index + 1} ran out of memory")
        if "CellTimeoutError" in errors:
            self.log.warning(f"{NOTE}cell {index + 1} took more than {self.timeout} s")
            limit, self.timeout = self.timeout, 10
            self.ask("", index)  # times out itself where the cell goes on
            self.timeout = limit
        elif is_locked(cell) and not is_grade(cell) and not errors - {""}:
            names = repr(bound(cell.source))
            self.given |= json.loads(self.ask(GIVEN.replace("NAMES", names), index))

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
