"""Does each claim of the lessons hold with other kernels and other draws?

    python lessons/studies/replicate.py                    # every run that replications.json does not hold yet
    python lessons/studies/replicate.py --show 07 draw-99  # one lesson with draws of your own: what held

A lesson is run as it stands, errors allowed. A kernel variant changes rounding only, through the environment. A draw
shifts every seed by one constant: other images, other splits, other heads, another order of training. The package has
no switch for that: a cell before the first one teaches PyTorch, NumPy and Python to add the constant to each seed. The
record forgets runs of another text of a lesson.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from record import Cell, fill, write

from transferlib.evidence.claims import read_claims

STUDIES = Path(__file__).parent
RESULT = STUDIES / "replications.json"
LESSONS = sorted(STUDIES.parent.glob("[0-9][0-9]_*.ipynb"))
KERNELS = {
    "as it comes": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "sse41": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "two threads": {},
}
IMPORT = re.compile(r"^from transferlib\S* import (\([^)]*\)|.*)$", re.M)
SHIFT = """
import random as _random, numpy as _numpy, torch as _torch
_by, _first, _manual, _rng = {by}, _torch.default_generator, _torch.manual_seed, _numpy.random.default_rng
def _moved(seed):
    if isinstance(seed, (int, _numpy.integer)): return int(seed) + _by
    return [*map(int, seed), _by] if isinstance(seed, (list, tuple, _numpy.ndarray)) else seed
class _Generator(_torch.Generator):
    def manual_seed(self, seed): return super().manual_seed(seed + _by)
class _First:
    def __getattr__(self, name): return getattr(_first, name)
    def manual_seed(self, seed): return _first.manual_seed(seed + _by)
class _Sequence(_numpy.random.SeedSequence):
    def __init__(self, entropy=None, **more): super().__init__(_moved(entropy), **more)
class _State(_numpy.random.RandomState):
    def __init__(self, seed=None): super().__init__(_moved(seed))
class _Random(_random.Random):
    def __init__(self, x=None): super().__init__(x if x is None else f"{{x}} {{_by}}")
_numpy.random.RandomState, _random.Random = _State, _Random
_torch.Generator, _torch.default_generator, _numpy.random.SeedSequence = _Generator, _First(), _Sequence
_torch.manual_seed, _numpy.random.default_rng = lambda s: _manual(s + _by), lambda s=None: _rng(_moved(s))
"""


def text(lesson: Path) -> str:
    """A short hash of everything that a lesson computes: neither how its lines are broken nor where in the package a
    name is imported from matters."""
    cells = nbformat.read(lesson, 4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    code = IMPORT.sub("", code)
    return hashlib.sha256("".join(code.split()).encode()).hexdigest()[:12]


def execute(lesson: Path, variant: str) -> nbformat.NotebookNode:
    """The lesson in one variant, with outputs; for a kernel variant the environment must be set already."""
    notebook = nbformat.read(lesson, 4)
    if variant.startswith("draw-"):
        shift = SHIFT.format(by=1000 * int(variant.removeprefix("draw-")))
        notebook.cells.insert(0, nbformat.v4.new_code_cell(shift))
    if variant == "two threads":
        for cell in notebook.cells:
            cell.source = cell.source.replace(
                "set_num_threads(1)", "set_num_threads(2)"
            )
    place = {"metadata": {"path": str(lesson.parent)}}
    NotebookClient(notebook, timeout=1800, allow_errors=True, resources=place).execute()
    return notebook


def verdicts(lesson: Path, variant: str) -> Cell:
    """What held in one run: each claim with its margins, and the errors, which there should be none of."""
    hashed, before = text(lesson), os.times()
    notebook = execute(lesson, variant)
    after = os.times()
    claims, errors = [], []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        claims += read_claims(outputs)
        errors += [
            {"cell": cell.get("id"), "error": f"{out.ename}: {out.evalue[:200]}"}
            for out in outputs
            if out.output_type == "error"
        ]
    return {
        "lesson": lesson.stem,
        "text": hashed,
        "variant": variant,
        # of the kernel's processor time: others may be at work here, too
        "seconds": round(sum(after[2:4]) - sum(before[2:4])),
        "held": f"{sum(c['holds'] for c in claims)} of {len(claims)} claims held, {len(errors)} errors",
        "claims": claims,
        "errors": errors,
    }


def apart(lesson: str, _text: str, variant: str) -> Cell:
    """The same in a process of its own, with the variant's kernels."""
    (path,) = (p for p in LESSONS if p.stem == lesson)
    threads = "2" if variant == "two threads" else "1"
    kernels = KERNELS.get(variant, {})
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(path), variant],
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": threads}
        | kernels,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument(
        "--draws", type=int, default=20, help="how many shifts of every seed"
    )
    options.add_argument(
        "--only", nargs="+", default=[""], metavar="LESSON", help="such as 05"
    )
    options.add_argument(
        "--at-once", type=int, default=2, help="how many lessons run at a time"
    )
    options.add_argument(
        "--show",
        nargs=2,
        metavar=("LESSON", "VARIANT"),
        help="print one run, record nothing",
    )
    options.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.one:
        print(json.dumps(verdicts(Path(asked.one[0]), asked.one[1])))
        return
    if asked.show:
        number, variant = asked.show
        found = [p.stem for p in LESSONS if p.stem[:2] == number.zfill(2)]
        if not found:
            options.error(
                f"there is no lesson {number}: say 01 to {LESSONS[-1].stem[:2]}"
            )
        if variant not in KERNELS and not re.fullmatch(r"draw-\d{1,6}", variant):
            known = ", ".join(map(repr, KERNELS))
            options.error(
                f"there is no variant {variant!r}: say draw-2026, or another number, or {known}"
            )
        run = apart(found[0], "", variant)
        for told in run["claims"]:
            print(
                f"{'holds' if told['holds'] else 'FALLS'}  {told['key']} ({told['firmly']}): {told['sentence']}"
            )
            print(
                *(f"         {piece['measured']}" for piece in told["evidence"]),
                sep="\n",
            )
        print(*(f"ERROR  {e['cell']}: {e['error']}" for e in run["errors"]), sep="\n")
        print(f"{run['lesson']}, {variant}: {run['held']}, {run['seconds']} s")
        return
    texts = {lesson.stem: text(lesson) for lesson in LESSONS}
    if RESULT.exists():
        told = json.loads(RESULT.read_text())
        told["cells"] = [
            cell for cell in told["cells"] if texts.get(cell["lesson"]) == cell["text"]
        ]
        write(RESULT, told)
    draws = [f"draw-{number + 1}" for number in range(asked.draws)]
    # In turns, so that a record that was stopped early has something of both.
    variants = [v for pair in zip_longest(KERNELS, draws) for v in pair if v]
    wanted = [
        (name, texts[name], variant)
        for variant in variants
        for name in texts
        if name.startswith(tuple(asked.only))
    ]
    fill(
        RESULT,
        "make replicate",
        ("lesson", "text", "variant"),
        wanted,
        apart,
        asked.at_once,
    )


if __name__ == "__main__":
    main()
