"""Results that take hours: each cell is written as soon as it is measured, with what a reader needs to judge it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from transferlib.storage import write_whole

Cell = dict[str, object]


def provenance() -> dict[str, object]:
    """What a reader needs to judge a number, or to measure it again."""
    code = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "code": code.stdout.strip(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{os.cpu_count()} × {platform.machine()}, {torch.get_num_threads()} thread(s)",
    }


def fill(
    path: Path,
    command: str,
    names: tuple[str, ...],
    wanted: Iterable[tuple],
    measure: Callable[..., Cell | None],
) -> None:
    """Measure every cell that `path` does not hold yet; names: the keys that tell cells apart.

    measure is given the values of a cell's keys and returns the whole cell, or None where there is none.
    """
    told = (
        json.loads(path.read_text()) if path.exists() else {"measured": [], "cells": []}
    )
    here = provenance()
    if here not in told["measured"]:
        told["measured"].append(here)
    place = told["measured"].index(here)
    done = {tuple(cell[name] for name in names) for cell in told["cells"]}
    wanted = list(wanted)
    for number, key in enumerate(wanted, start=1):
        cell = None if key in done else measure(*key)
        if cell is None:
            continue
        told["cells"].append(cell | {"measured": place})
        told["command"] = command
        rows = ",\n".join(json.dumps(c) for c in told["cells"])
        head = json.dumps({k: told[k] for k in ("command", "measured")}, indent=1)[:-2]
        write_whole(path, f'{head},\n "cells": [\n{rows}\n]}}\n'.encode())
        shown = cell.get("accuracy", cell.get("features"))
        print(f"{number}/{len(wanted)}", *key, f"{shown:.3f}", flush=True)
