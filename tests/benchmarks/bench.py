"""Runs every measurement in its own process, one after another, and keeps all of them in results.json.

    python tests/benchmarks/bench.py --list                        # what there is to do, and what is done
    python tests/benchmarks/bench.py --real-data FOLDER            # everything; FOLDER holds hymenoptera/
    python tests/benchmarks/bench.py peers --only 'photos-96.*sklearn|tl_feature'   # a subset
    python tests/benchmarks/bench.py --smoke                       # minutes, tiny images: does it all run?

What is in the file already is not measured again, so a run that was ended goes on where it stopped. Results of
another machine, of other versions or of a changed transferlib are never mixed in: --fresh starts anew.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prepare
from studies import STRATEGIES
from targets import rows as targets

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results.json"
PACKAGES = ("torch", "torchvision", "timm", "scikit-learn", "fastai", "lightning", "keras", "numpy", "pillow")
SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE", "MALLOC_MMAP_THRESHOLD_")
PARTS = ("peers", "allocator", "scale", "views")
BOTH = (False, True)
LIMIT = 3600  # seconds; what hangs must not stop the rest


@dataclass(frozen=True)
class Cell:
    """One measurement. name: what --only matches and what results.json calls it."""

    part: str
    name: str
    command: tuple[str, ...]
    round: int


# peer: (epochs, rounds as it comes, rounds with the allocator setting). Together some forty minutes on two cores, so
# the long runs are few; --rounds has more of them.
Plan = dict[tuple[str, int], dict[str, tuple[int, int, int]]]
PLAN: Plan = {
    ("hymenoptera", 128): {
        "sklearn": (1, 3, 5),
        "sklearn_workers": (1, 1, 1),
        "tl_feature_extraction": (1, 3, 5),
        "tl_feature_extraction_4": (1, 1, 5),
        "tl_command_line": (1, 0, 5),
        "limit_forward": (1, 0, 3),
        "limit_steps": (1, 0, 1),
        "tl_fine_tuning": (4, 1, 2),
        "tutorial_fine_tuning": (2, 1, 1),
        "fastai_fine_tune": (4, 1, 1),
        "keras_fine_tuning": (4, 1, 0),
        "lightning": (4, 1, 2),
        "tl_progressive": (4, 1, 2),
        "tl_progressive_1": (4, 0, 1),
        "tutorial_head": (2, 1, 1),
        "fastai_head": (2, 1, 0),
        "keras_b0_head": (2, 1, 0),
    },
    ("photos", 96): {
        "sklearn": (1, 2, 5),
        "sklearn_workers": (1, 1, 1),
        "tl_feature_extraction": (1, 2, 5),
        "tl_feature_extraction_4": (1, 0, 2),
        "tl_command_line": (1, 0, 5),
        "limit_forward": (1, 0, 1),
        "limit_steps": (1, 0, 1),
        "tl_fine_tuning": (2, 0, 2),
        "fastai_fine_tune": (2, 1, 0),
        "lightning": (2, 2, 2),
        "tl_progressive": (2, 1, 2),
        "tl_progressive_1": (2, 0, 2),
        "tutorial_head": (2, 1, 0),
    },
    ("hymenoptera", 224): {
        "sklearn": (1, 1, 3),
        "sklearn_workers": (1, 1, 1),
        "tl_feature_extraction": (1, 1, 3),
        "tl_feature_extraction_4": (1, 0, 1),
        "tl_command_line": (1, 0, 3),
        "limit_forward": (1, 0, 1),
        "limit_steps": (1, 0, 1),
        "tl_fine_tuning": (2, 0, 2),
        "lightning": (2, 2, 2),
        "tl_progressive": (2, 1, 2),
        "tutorial_head": (2, 1, 0),
    },
}
SMOKE: Plan = {("tiny", 64): {peer: (2, 1, 1) for plan in PLAN.values() for peer in plan}}


def cells(args: argparse.Namespace) -> Iterator[Cell]:
    """All measurements of all rounds. A round has every peer once, so that a drift of the machine hits all alike."""
    plan = SMOKE if args.smoke else PLAN
    real = prepare.has_hymenoptera(args.real_data)
    plan = {key: peers for key, peers in plan.items() if key[0] != "hymenoptera" or real}
    for number in range(args.rounds or max(max(rounds) for peers in plan.values() for _, *rounds in peers.values())):
        for (data, size), peers in plan.items():
            for peer, (epochs, *rounds) in peers.items():
                for kept in BOTH:
                    if rounds[kept] and number < (args.rounds or rounds[kept]):
                        name = f"{data}-{size} {peer} {'kept' if kept else 'plain'} {number}"
                        options = ["--data", str(prepare.CACHE / data), "--size", str(size), "--epochs", str(epochs)]
                        options += ["--seed", str(number), *["--keep-freed-memory"] * kept]
                        yield Cell("peers", name, ("peers.py", peer, *options), number)
    where = ["--real-data", str(args.real_data)] if args.real_data else []
    sets = ["photos"] if args.smoke else ["photos", "lesions", "hymenoptera" if real else "digits"]
    for seed in range(1 if args.smoke else args.seeds):
        for data in sets:
            options = ["--seed", str(seed), *where, "--keep-freed-memory", *["--epochs=2"] * args.smoke]
            yield Cell("views", f"views {data} {seed}", ("studies.py", "views", data, *options), seed)
    for size in (64,) if args.smoke else (96, 224):
        for strategy in STRATEGIES:
            for kept in BOTH:
                name = f"allocator {size} {strategy} {'kept' if kept else 'plain'}"
                options = ["--size", str(size), *["--keep-freed-memory"] * kept]
                options += ["--images=32", "--repeats=1"] if args.smoke else []
                yield Cell("allocator", name, ("studies.py", "allocator", strategy, *options), 0)

    for images in (100, 1000) if args.smoke else (100, 1000, 10_000, 100_000, 1_000_000):
        options = ["--size=32", "--keep-freed-memory"]
        yield Cell("scale", f"scale {images}", ("studies.py", "scale", str(images), *options), 0)


def provenance(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that a figure depends on besides the code of the suite."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "transferlib").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
            "system": platform.platform(terse=True),
            "libc": " ".join(platform.libc_ver()),
        },
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "environment": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "transferlib": digest.hexdigest()[:12],
        "weights": hashlib.sha256(prepare.weights().read_bytes()).hexdigest(),
        "smoke": args.smoke,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit, with a mark if the package is not as committed."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "transferlib"], capture_output=True, text=True)
    return head.stdout.strip() + "+changes" * bool(changed.stdout.strip())


def load(args: argparse.Namespace, parts: list[str], facts: dict[str, Any]) -> dict[str, Any]:
    """Earlier results. What is to go on must have been made under the same circumstances."""
    found: dict[str, Any] = {"parts": {}, "cells": {}, "targets": []}
    if args.out.exists():
        found = json.loads(args.out.read_text())
    for part in parts:
        earlier = found["parts"].get(part, {"provenance": facts})["provenance"]
        if args.fresh:
            found["parts"].pop(part, None)
            found["cells"] = {name: cell for name, cell in found["cells"].items() if cell["part"] != part}
        elif changed := sorted(key for key in facts if earlier.get(key) != facts[key]):
            raise SystemExit(
                f"{part} in {args.out} was measured with another {', '.join(changed)}: --fresh begins anew."
            )
        found["parts"].setdefault(part, {"provenance": facts, "sessions": []})
    return found


def save(results: dict[str, Any], path: Path) -> None:
    """Write beside, then replace: a run that is killed leaves the file whole."""
    results["targets"] = targets(results["cells"])
    new = path.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1) + "\n")
    new.replace(path)


def measure(cell: Cell) -> dict[str, Any]:
    """Run one cell; the last line it prints is the result."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    command = [sys.executable, str(HERE / cell.command[0]), *cell.command[1:]]
    started = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"part": cell.part, "error": [f"not done in {LIMIT} s"]}
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        return {"part": cell.part, "error": said}
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {**facts, "part": cell.part, "load": load, "date": now, "wall": time.perf_counter() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help="peers, views, allocator, scale; default: all of them")
    parser.add_argument("--real-data", type=Path, help="folder that holds hymenoptera/hymenoptera_data")
    parser.add_argument("--only", default="", help="regular expression: measure only what it finds in the names")
    parser.add_argument("--rounds", type=int, help="so many of each peer, instead of the plan's")
    parser.add_argument("--seeds", type=int, default=5, help="of the study of views (%(default)s)")
    parser.add_argument("--minutes", type=float, help="begin nothing new after so many; the next run goes on")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results of these parts")
    parser.add_argument("--retry", action="store_true", help="measure again what failed")
    parser.add_argument("--smoke", action="store_true", help="tiny images, one round, into another file")
    parser.add_argument("--list", action="store_true", help="only say what would be done")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if unknown := set(args.part) - {*PARTS}:
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    args.real_data = args.real_data.resolve() if args.real_data else None
    args.out = args.out or (prepare.CACHE / "smoke.json" if args.smoke else RESULTS)
    wanted = [cell for cell in cells(args) if not args.part or cell.part in args.part]
    wanted = [cell for cell in wanted if re.search(args.only, cell.name)]
    for data in {cell.name.partition("-")[0] for cell in wanted if cell.part == "peers"}:
        prepare.folder(data, args.real_data)
    parts = [part for part in PARTS if part in {cell.part for cell in wanted}]
    facts = provenance(args)
    results = load(args, parts, facts)
    done = results["cells"]
    # Round by round across the parts: whatever ends the run early leaves a first figure of everything.
    todo = sorted((c for c in wanted if c.name not in done or (args.retry and "error" in done[c.name])), key=_order)
    if args.list:
        print("\n".join(f"{'done' if cell.name in done else '    '}  {cell.name}" for cell in wanted))
        print(f"{len(wanted)} measurements, {len(todo)} to do")
        return
    session = {"commit": _commit(), "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
    for part in parts:
        results["parts"][part]["sessions"].append(session)
    started = time.monotonic()
    for number, cell in enumerate(todo, start=1):
        minutes = (time.monotonic() - started) / 60
        if args.minutes and minutes > args.minutes:
            print(f"{args.minutes:g} minutes are over; {len(todo) - number + 1} measurements remain for the next run")
            break
        if provenance(args) != facts:
            raise SystemExit("transferlib was changed during the run: start anew with --fresh when it is at rest")
        done[cell.name] = measure(cell)
        if "error" in done[cell.name]:
            said = done[cell.name]["error"][0]
        else:
            said = f"{done[cell.name].get('seconds', done[cell.name]['wall']):.2f} s"
        print(f"[{minutes:4.1f} min, {number}/{len(todo)}] {cell.name}: {said}", flush=True)
        save(results, args.out)
    save(results, args.out)
    for row in results["targets"]:
        reached = {True: "reached", False: "NOT reached", None: ""}[row["reached"]]
        print(f"{row['data']:16} {row['figure']:8.2f}  {row['target'] or '':8}  {reached:12} {row['row']}")
    failed = [name for name, facts in done.items() if "error" in facts]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _order(cell: Cell) -> tuple[int, int]:
    """The first round of everything, then the second."""
    return cell.round, PARTS.index(cell.part)


if __name__ == "__main__":
    main()
