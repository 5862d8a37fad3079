"""The benchmark is run by hand and seldom: what it leans on must not move away from under it."""

import json
import subprocess
import sys
from argparse import Namespace
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


def test_every_measurement_that_is_planned_is_one_that_can_be_made(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import bench
    import peers
    import studies

    for smoke in (False, True):
        args = Namespace(smoke=smoke, real_data=None, rounds=None, seeds=2)
        for cell in bench.cells(args):
            script, what, *_ = cell.command
            known = peers.PEERS if script == "peers.py" else ("views", "allocator", "scale")
            assert what in known, cell.name
    assert set(studies.STRATEGIES) and not {peer for plan in bench.PLAN.values() for peer in plan} - set(peers.PEERS)
