"""Results that take hours: each cell is written as soon as it is measured, with what a reader needs to judge it."""

from __future__ import annotations

import ast
import datetime
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import nbformat
import torch

from transferlib.files.whole import write_whole

Cell = dict[str, object]
T = TypeVar("T")


def taught(lesson: str, *names: str) -> SimpleNamespace:
    """What a lesson, given by its number, defines under these names: a study runs the code that its page shows.

    Solutions of exercises do not count. Raises KeyError for a name that the lesson does not define.
    """
    (path,) = Path(__file__).parents[1].glob(f"{lesson}_*.ipynb")
    cells = nbformat.read(path, 4).cells
    shown = [
        cell.source
        for cell in cells
        if cell.cell_type == "code" and "hide-cell" not in cell.metadata.get("tags", [])
    ]
    space: dict[str, object] = {}
    for node in ast.parse("\n".join(shown)).body:
        defined = [getattr(node, "name", None)]
        defined += [getattr(to, "id", None) for to in getattr(node, "targets", ())]
        if isinstance(node, ast.Import | ast.ImportFrom) or set(defined) & set(names):
            exec(compile(ast.Module([node], []), str(path), "exec"), space)
    return SimpleNamespace(**{name: space[name] for name in names})


def timed(work: Callable[[], T]) -> tuple[T, Cell]:
    """What it returns, and the seconds of a processor for its cell: none where a graphics card does the work.

    Of this process alone, for others may be at work here.
    """
    begun = time.process_time()
    made = work()
    spent = round(time.process_time() - begun, 2)
    return made, {} if torch.cuda.is_available() else {"seconds": spent}


def provenance() -> dict[str, object]:
    """What a reader needs to judge a number, or to measure it again."""
    code = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:  # elsewhere than on Linux
        model = None
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "code": code.stdout.strip(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{os.cpu_count()} × {model[1] if model else platform.machine()} with {torch.backends.cpu.get_cpu_capability()}, "
        f"{torch.get_num_threads()} thread(s)"
        + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
    }


def fill(
    path: Path,
    command: str,
    names: tuple[str, ...],
    wanted: Iterable[tuple],
    measure: Callable[..., Cell | None],
    at_once: int = 1,
) -> None:
    """Measure every cell that `path` does not hold yet; names: the keys that tell cells apart.

    measure is given the values of a cell's keys and returns the whole cell, or None where there is none. at_once: how
    many threads measure, each of which then has to wait for a process of its own.
    """
    told = (
        json.loads(path.read_text()) if path.exists() else {"measured": [], "cells": []}
    )
    here = provenance()
    if here not in told["measured"]:
        told["measured"].append(here)
    place = told["measured"].index(here)
    done = {tuple(cell[name] for name in names) for cell in told["cells"]}
    todo = [key for key in wanted if key not in done]
    with ThreadPoolExecutor(at_once) as threads:
        # One at a time stays in this thread: PyTorch's number of threads is set for it alone.
        run = threads.map if at_once > 1 else map
        cells = run(lambda key: measure(*key), todo)
        for number, (key, cell) in enumerate(zip(todo, cells, strict=True), start=1):
            if cell is None:
                continue
            told["cells"].append(cell | {"measured": place})
            told["command"] = command
            write(path, told)
            shown = cell.get("accuracy", cell.get("features", cell.get("held")))
            shown = shown if isinstance(shown, str) else f"{shown:.3f}"
            print(f"{number}/{len(todo)}", *key, shown, flush=True)


def write(path: Path, told: dict) -> None:
    """The whole record, one line a cell."""
    rows = ",\n".join(json.dumps(cell) for cell in told["cells"])
    head = json.dumps({key: told[key] for key in ("command", "measured")}, indent=1)
    write_whole(path, f'{head[:-2]},\n "cells": [\n{rows}\n]}}\n'.encode())
