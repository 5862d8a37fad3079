"""The benchmark is run by hand and seldom: what it leans on must not move away from under it."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import stripes
from PIL import Image

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Four of each class in train, val and test."""
    folder = tmp_path_factory.mktemp("photographs")
    for seed, part in enumerate(("train", "val", "test")):
        images = stripes(8, seed)
        for number, (pixels, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
            path = folder / part / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return folder


@pytest.mark.parametrize("peer", ["tl_fine_tuning", "tl_progressive", "tl_command_line"])
def test_a_measurement_of_this_package_runs_and_says_what_it_found(peer, photographs):
    command = [sys.executable, BENCHMARKS / "peers.py", peer, "--data", photographs, "--size", "32", "--epochs", "2"]
    done = subprocess.run([*command, "--keep-freed-memory"], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["seconds"] > 0 and 0 <= told["accuracy"] <= 1 and told["peak_mb"] > 0


def test_every_script_of_the_benchmark_can_be_imported_and_every_peer_that_is_planned_is_one(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    scripts = {path.stem: importlib.import_module(path.stem) for path in BENCHMARKS.glob("*.py")}
    assert {peer for plan in scripts["bench"].PLAN.values() for peer in plan} <= scripts["peers"].PEERS.keys()
