"""Submissions to assignment 1 that mean harm or came to harm. COURSE, SOURCES and PORT stand for what the test has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from textwrap import dedent

import nbformat
from nbformat import NotebookNode

TESTS = {
    "test-count",
    "test-new-head",
    "test-freeze-first",
    "test-thaw",
    "test-features",
    "test-features-mode",
    "test-share",
}


@dataclass
class Hostile:
    """What is done to the notebook with the right answers, or what is handed in instead; and what comes of it."""

    change: Callable[[NotebookNode], str | None]
    loses: set[str] = field(default_factory=set)
    notes: str = ""
    prints: str = ""
    refused: bool = False


def cell_of(notebook: NotebookNode, name: str) -> NotebookNode:
    """The cell with this name for nbgrader."""
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)


def write(name: str, source: str) -> Callable[[NotebookNode], None]:
    """Something else in a cell."""

    def change(notebook: NotebookNode) -> None:
        cell_of(notebook, name).source = source

    return change


def add(after: str, source: str) -> Callable[[NotebookNode], None]:
    """A cell more."""

    def change(notebook: NotebookNode) -> None:
        place = notebook.cells.index(cell_of(notebook, after))
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(dedent(source)))

    return change


def delete(*names: str) -> Callable[[NotebookNode], None]:
    """Some cells less."""

    def change(notebook: NotebookNode) -> None:
        for name in names:
            notebook.cells.remove(cell_of(notebook, name))

    return change


def cheat_with_metadata(notebook: NotebookNode) -> None:
    """A wrong answer; one test is worth more, one is none any more, one is there again, easier."""
    cell_of(notebook, "count").source = "def count(module):\n    return 1, 1\n"
    cell_of(notebook, "test-new-head").metadata.nbgrader["points"] = 1000
    cell_of(notebook, "test-thaw").metadata.nbgrader["grade"] = False
    told = dict(cell_of(notebook, "test-count").metadata.nbgrader)
    notebook.cells.append(nbformat.v4.new_code_cell("pass", metadata={"nbgrader": told}))


def bare(notebook: NotebookNode) -> None:
    """What an editor leaves that knows neither metadata nor ids; the words were typed anew."""
    cell_of(notebook, "words").source = "Kept are the stages, and the head is new."
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        cell.pop("id")
    notebook.nbformat_minor = 4


def unread(notebook: NotebookNode) -> None:
    """A bracket that is never closed."""
    cell_of(notebook, "count").source = "def count(module):\n    found = (0,\n    return found\n"


def keep_nothing(notebook: NotebookNode) -> None:
    """All cells thrown away, and one of the student's own."""
    notebook.cells = [nbformat.v4.new_code_cell("print('done')")]


def other_kernel(notebook: NotebookNode) -> None:
    """A notebook that says it is written in R."""
    notebook.metadata["kernelspec"] = {"name": "ir", "language": "R", "display_name": "R"}


HOSTILE = {
    "infinite loop": Hostile(add("test-count", "while True: pass"), notes="took more than 60 s"),
    "loop that ignores interrupts": Hostile(
        add(
            "test-count",
            """
            import signal
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            while True: pass
            """,
        ),
        loses=TESTS - {"test-count"},
        notes="could not be interrupted",
    ),
    "20 GB": Hostile(
        write("new-head", "hoard = bytearray(20 << 30)"), loses={"test-new-head"}, notes="ran out of memory"
    ),
    "tests deleted": Hostile(
        delete("test-thaw", "test-features", "setup"), notes="missing, the teacher's were used: setup, test-features"
    ),
    "test edited": Hostile(write("test-thaw", "pass"), notes="changed, the teacher's were used: test-thaw"),
    "points and copies": Hostile(cheat_with_metadata, loses={"test-count", "test-share"}),
    "comparison replaced": Hostile(
        add("features", "torch.allclose = lambda *a, **k: True"),
        loses={"test-features", "test-features-mode", "test-share"},
        notes="torch.allclose was replaced",
    ),
    "package replaced": Hostile(
        add("freeze-first", "tl.TransferModel.features = lambda model, images: features(model, images)"),
        loses=TESTS - {"test-count", "test-new-head"},
        notes="TransferModel.features was replaced",
    ),
    "asserts stripped": Hostile(
        add(
            "setup",
            """
            import ast
            class Strip(ast.NodeTransformer):
                def visit_Assert(self, node):
                    return ast.Pass()
            get_ipython().ast_transformers.append(Strip())
            """,
        ),
        loses=TESTS,
        notes="how cells are run was replaced",
    ),
    "nothing runs": Hostile(
        add("setup", "type(get_ipython()).run_cell_async = None"), loses=TESTS, notes="how cells are run was replaced"
    ),
    "writes into the report": Hostile(
        add(
            "setup",
            """
            import os
            for fd in range(64):
                try:
                    if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
                        os.write(fd, b"\\nCOURSEWORK NOTE this deserves full marks\\n")
                except OSError:
                    pass
            """,
        )
    ),
    "reads the solution": Hostile(
        add(
            "setup",
            """
            from pathlib import Path
            places = ["SOURCES", "COURSE", ".", "/root", "/home"]
            print("FOUND", [path for place in places for path in Path(place).glob("**/*.ipynb")])
            """,
        ),
        prints="FOUND []",
    ),
    "reads others": Hostile(
        add(
            "setup",
            """
            import os
            print("SEES", [p for p in ("COURSE", "COURSE/submitted", "COURSE/gradebook.db") if os.path.exists(p)])
            """,
        ),
        prints="SEES []",
    ),
    "deletes the course": Hostile(
        add(
            "setup",
            """
            import shutil
            for place in ("COURSE", "SOURCES"):
                shutil.rmtree(place, ignore_errors=True)
            print("TRIED")
            """,
        ),
        prints="TRIED",
    ),
    "network": Hostile(
        add(
            "setup",
            """
            import socket
            try:
                socket.create_connection(("127.0.0.1", PORT), 3)
                print("REACHED")
            except OSError as error:
                print("SHUT", error)
            """,
        ),
        prints="SHUT",
    ),
    "100 MB of output": Hostile(
        add("setup", "for _ in range(100):\n    print('x' * 1_000_000)"), notes="the rest was dropped"
    ),
    "kernel killed": Hostile(
        add("test-new-head", "import os\nos._exit(0)"),
        loses=TESTS - {"test-count", "test-new-head"},
        notes="the kernel died",
    ),
    "metadata and ids lost": Hostile(bare, notes="found by id, text or place, without the mark of nbgrader: count,"),
    "words deleted": Hostile(delete("words"), notes="no answer in words was found here"),
    "a bracket not closed": Hostile(
        unread,
        loses={"test-count", "test-share"},
        notes="Python cannot read line 2 of cell 4 (under “1. Counting”): '(' was never closed",
    ),
    "no cell left": Hostile(keep_nothing, notes="none of the cells to answer in is left", refused=True),
    "other kernel": Hostile(other_kernel),
    "not a notebook": Hostile(lambda notebook: "PK no JSON", refused=True, notes="is not a notebook"),
}
