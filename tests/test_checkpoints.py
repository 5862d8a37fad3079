import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import same, small_model, state_of

import transferlib as tl
from transferlib.errors import CheckpointError

CLASSES = ("across", "down")


def weights_file(folder):
    (path,) = folder.glob("model-*.safetensors")
    return path


def test_what_is_loaded_is_what_was_saved(tmp_path):
    model = small_model(seed=3).freeze_to("stage2")
    tl.save(model, tmp_path / "run", classes=CLASSES, image_size=32)
    loaded, facts = tl.load(tmp_path / "run")
    assert same(state_of(model), state_of(loaded))
    assert (loaded.frozen_below, facts["classes"], facts["image_size"]) == (3, list(CLASSES), 32)
    assert not loaded.training


def test_saving_again_replaces_the_model_and_leaves_one_weights_file(tmp_path):
    for seed in (0, 1):
        tl.save(small_model(seed), tmp_path, classes=CLASSES)
    assert same(state_of(tl.load(tmp_path)[0]), state_of(small_model(1)))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_a_truncated_weights_file_is_refused(tmp_path, keep):
    tl.save(small_model(), tmp_path, classes=CLASSES)
    path = weights_file(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated or changed"):
        tl.load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 99}',
        '{"format": 1}',
        '{"format": 1, "classes": ["a", "b"]}',
    ],
)
def test_a_damaged_json_is_refused(tmp_path, text):
    tl.save(small_model(), tmp_path, classes=CLASSES)
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.json"):
        tl.load(tmp_path)


def change(folder, **facts):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_another_number_of_classes_is_refused(tmp_path):
    tl.save(small_model(), tmp_path, classes=CLASSES)
    change(tmp_path, classes=["a", "b", "c"])
    with pytest.raises(CheckpointError, match=r"2 outputs, model\.json names 3 classes"):
        tl.load(tmp_path)


def test_another_backbone_is_refused(tmp_path):
    tl.save(small_model(), tmp_path, classes=CLASSES)
    change(tmp_path, backbone="resnet18")
    with pytest.raises(CheckpointError, match="do not fit 'resnet18'"):
        tl.load(tmp_path)


def test_a_pickle_is_refused_and_never_run(tmp_path):
    import hashlib

    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "it ran"),))

    tl.save(small_model(), tmp_path, classes=CLASSES)
    payload = pickle.dumps(Bomb())
    weights_file(tmp_path).write_bytes(payload)
    change(tmp_path, sha256=hashlib.sha256(payload).hexdigest())
    with pytest.raises(CheckpointError, match="Pickles are refused"):
        tl.load(tmp_path)
    assert not (tmp_path / "it ran").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    torch.save({}, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="folder"):
        tl.load(tmp_path / "model.pth")


def test_a_weights_path_that_climbs_out_of_the_folder_is_not_followed(tmp_path):
    tl.save(small_model(), tmp_path / "run", classes=CLASSES)
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(weights_file(tmp_path / "run").read_bytes())
    change(tmp_path / "run", file="../outside.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        tl.load(tmp_path / "run")


def test_an_empty_folder_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model\.json"):
        tl.load(tmp_path)


def test_wrong_class_names_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(CheckpointError, match="3 class names"):
        tl.save(small_model(), tmp_path / "run", classes=("a", "b", "c"))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs setrlimit")
def test_a_full_disk_is_an_error_that_leaves_the_old_model(tmp_path):
    """A limit on file size makes the system itself refuse the write half-way."""
    tl.save(small_model(0), tmp_path, classes=CLASSES)
    program = f"""
import resource, signal
from helpers import small_model
import transferlib as tl
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    tl.save(small_model(1), {str(tmp_path)!r}, classes={CLASSES!r})
except tl.CheckpointError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert "refused:" in done.stdout, done.stderr
    assert same(state_of(tl.load(tmp_path)[0]), state_of(small_model(0)))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_while_saving_leaves_a_whole_model(tmp_path):
    program = f"""
from helpers import small_model
import transferlib as tl
models = [small_model(0), small_model(1)]
tl.save(models[0], {str(tmp_path)!r}, classes={CLASSES!r})
print("saving", flush=True)
while True:
    for model in models:
        tl.save(model, {str(tmp_path)!r}, classes={CLASSES!r})
"""
    wanted = [state_of(small_model(seed)) for seed in (0, 1)]
    for delay in (0.05, 0.113, 0.271):
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(delay)
            process.kill()
        loaded = state_of(tl.load(tmp_path)[0])
        assert any(same(loaded, state) for state in wanted)


@pytest.mark.parametrize("classes", [[1, 2], "ab", None])
def test_classes_that_are_no_names_are_refused(tmp_path, classes):
    tl.save(small_model(), tmp_path, classes=CLASSES)
    change(tmp_path, classes=classes)
    with pytest.raises(CheckpointError, match="'classes' is missing"):
        tl.load(tmp_path)
