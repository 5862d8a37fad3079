import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import small_model, state_of, stripe_splits
from PIL import Image
from torch.nn.functional import batch_norm

import transferlib as tl
from transferlib.engine.processes import Processes, _SharedStatistics
from transferlib.engine.state import Keeping
from transferlib.training import begin

pytest.importorskip("accelerate")
STRATEGIES = {
    # Not mirrored: symmetric stripes put activations exactly on ReLU's corner, where rounding decides the gradient.
    # SGD: AdamW divides by the gradient's size, so that rounding grows (2e-4 in the loss after three epochs).
    "from scratch": tl.from_scratch(2, optimizer="sgd", lr=0.01, augment="none"),
    "feature extraction": tl.feature_extraction(4, views=2),
    "fine-tuning": tl.fine_tuning(3, class_weights="balanced", label_smoothing=0.1),
    "progressive unfreezing": tl.progressive_unfreezing(4, steps=4, lr=1e-2),
    "LP-FT": tl.lp_ft(4, optimizer="sgd", lr=1e-2),
    "an uneven last batch": tl.fine_tuning(2, batch_size=7),
}

TWO = """
import json, sys, warnings
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[2])
from test_parallel import train_all
train_all(sys.argv[1])
"""


def train_all(folder):
    """Every strategy; each process writes what it ended with."""
    rank = os.environ.get("RANK", "alone")
    found = {}
    for name, strategy in STRATEGIES.items():
        model = small_model()
        run = tl.fit(model, stripe_splits(30, augment="flip"), strategy, seed=1)
        history = [(e.train_loss, e.val_loss, e.val_accuracy) for e in run.history]
        found[name] = {"history": history, "model": {k: v.tolist() for k, v in state_of(model).items()}}
    diverged = ""
    try:
        tl.fit(small_model(), stripe_splits(30), tl.fine_tuning(3, lr=1e30, optimizer="sgd", warmup=0.0, body=1.0))
    except tl.TransferError as error:
        diverged = str(error)
    found["diverged"] = diverged
    Path(folder, f"{rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process and each of two ended with."""
    folder = tmp_path_factory.mktemp("two")
    train_all(folder)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = folder / "two.py"
    script.write_text(TWO)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(script), str(folder), str(Path(__file__).parent)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{name}.json").read_text()) for name in ("alone", "0", "1")]


@pytest.mark.parametrize("name", STRATEGIES)
def test_two_processes_give_the_result_of_one(results, name):
    alone, *two = (result[name] for result in results)
    for other in two:
        assert torch.tensor(other["history"]).sub(torch.tensor(alone["history"])).abs().max() < 1e-5
        for key, tensor in alone["model"].items():
            difference = torch.tensor(other["model"][key], dtype=float) - torch.tensor(tensor, dtype=float)
            assert difference.abs().max() < 1e-5, key


def test_a_loss_that_is_no_number_stops_both_processes_with_the_same_message(results):
    messages = {result["diverged"] for result in results}
    assert len(messages) == 1
    assert "no longer a number" in messages.pop()


def test_one_process_alone_computes_everything_itself():
    alone = Processes("cpu")
    batch = torch.arange(6.0).reshape(3, 2)
    assert torch.equal(alone.map(torch.exp, batch), batch.exp())
    assert torch.equal(alone.share(batch), batch)
    assert alone.is_main


def test_shared_batchnorm_on_one_process_is_batchnorm(monkeypatch):
    monkeypatch.setattr("torch.distributed.all_reduce", lambda x: None)
    alone = Processes("cpu")
    x = torch.randn(6, 4, 5, 5, requires_grad=True)
    averages = [(torch.zeros(4), torch.ones(4)) for _ in range(2)]
    weight, bias = torch.rand(4), torch.rand(4)
    asked = []
    with _SharedStatistics(lambda value: asked.append(value) or alone.sum(value)):
        ours = batch_norm(x, *averages[0], weight, bias, True, 0.1, 1e-5)
    assert asked, "the library's own function was called"
    theirs = batch_norm(x, *averages[1], weight, bias, True, 0.1, 1e-5)
    assert len(asked) == 1, "the mode outlives its block"
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*averages, strict=True))
    weights = torch.randn_like(x)
    gradients = [torch.autograd.grad((y * weights).sum(), x, retain_graph=True)[0] for y in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-5)


@pytest.mark.thorough
def test_the_command_line_in_two_processes_writes_once_and_what_one_process_writes(tmp_path):
    split = stripe_splits(30).train
    for index, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
        path = tmp_path / "photos" / ("across", "down")[int(label)] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    command = ["-m", "transferlib", "train", str(tmp_path / "photos"), "--image-size", "32", "--strategy", "lp-ft"]
    command += ["--epochs", "2", "--device", "cpu"]
    # `accelerate launch` starts several processes on graphics cards only; on a processor it needs MPI.
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for name, before in (("one", []), ("two", launcher)):
        whole = [sys.executable, *before, *command, "--out", str(tmp_path / name)]
        done = subprocess.run(whole, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("epoch   2/2") == 1
        assert done.stdout.count("written to") == 1
    one, two = (tl.load(tmp_path / name)[0].state_dict() for name in ("one", "two"))
    assert all(torch.allclose(one[name].float(), two[name].float(), atol=1e-5) for name in one)
    assert not all(torch.equal(one[name], two[name]) for name in one)  # the sums were really shared out
    assert {path.name for path in (tmp_path / "one").iterdir()} >= {"model.json", "metrics.json", "README.md"}
    assert len(list((tmp_path / "one").iterdir())) == len(list((tmp_path / "two").iterdir()))


def test_batch_norm_that_does_not_train_is_left_as_it_is():
    inputs, mean, var = torch.randn(4, 3, 5, 5), torch.randn(3), torch.rand(3) + 0.5
    alone = batch_norm(inputs, mean, var)
    with _SharedStatistics(lambda total: pytest.fail("asked the other processes")):
        assert torch.equal(batch_norm(inputs, mean, var), alone)


def test_more_processes_than_images_in_a_batch_are_refused_before_anything_is_trained(monkeypatch):
    processes = Processes("cpu")
    monkeypatch.setattr(processes, "count", 4)
    with pytest.raises(tl.TransferError, match="batches of 3 images cannot be shared by 4 processes"):
        begin(
            small_model(),
            stripe_splits(24),
            tl.fine_tuning(1, batch_size=3),
            seed=0,
            processes=processes,
            precision="fp32",
            keeping=Keeping(),
        )
