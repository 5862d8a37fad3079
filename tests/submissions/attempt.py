"""Runs an assignment once for each set of answers, and says which tests failed and why.

    python attempt.py NOTEBOOK < answers.json     # [{solution cell: what is written there}, …]

The cells before the first changed one run once, with the model answers; each set goes on from there in a fork.
"""

import contextlib
import io
import json
import os
import re
import sys
from typing import NamedTuple

import nbformat


class Failed(NamedTuple):
    """A test that failed: its message, and whether the student sees the part that did."""

    says: str
    seen: bool


def run(cells: list[nbformat.NotebookNode], space: dict[str, object], answers: dict[str, str]) -> dict[str, Failed]:
    """Run the cells; test cell: what the student is told, and whether by the part that students see."""
    failed = {}
    for cell in cells:
        told = cell.metadata.get("nbgrader", {})
        name = told.get("grade_id", "")
        parts = re.split(r"(?m)^### (?:BEGIN|END) HIDDEN TESTS\n?", answers.get(name, cell.source))
        for number, part in enumerate(parts):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(part, f"<{name}>", "exec"), space)
            except Exception as error:
                if told.get("grade"):
                    failed[name] = Failed(f"{type(error).__name__}: {error}", number % 2 == 0)
                break
    return failed


def main() -> None:
    """Fork for each set of answers, one after the other."""
    cells = [cell for cell in nbformat.read(sys.argv[1], 4).cells if cell.cell_type == "code"]
    names = [cell.metadata.get("nbgrader", {}).get("grade_id", "") for cell in cells]
    last = max(i for i, cell in enumerate(cells) if cell.metadata.get("nbgrader", {}).get("grade"))
    attempts: list[dict[str, str]] = json.load(sys.stdin)
    first = [min(names.index(name) for name in answers) for answers in attempts]
    found: list[dict[str, Failed] | None] = [None] * len(attempts)
    space: dict[str, object] = {"__name__": "__main__"}
    for index, cell in enumerate(cells[: last + 1]):
        for number in (n for n, place in enumerate(first) if place == index):
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                with os.fdopen(write, "w") as out:
                    json.dump(run(cells[index : last + 1], space, attempts[number]), out)
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as answer:
                found[number] = json.load(answer)
            os.waitpid(child, 0)
        if failed := run([cell], space, {}):
            raise SystemExit(f"the model answers fail: {failed}")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
