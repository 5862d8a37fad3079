import json
import shutil
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from helpers import same, small_model, state_of
from PIL import Image

import transferlib as tl
from transferlib.cli import main
from transferlib.data.own.images import load_image
from transferlib.errors import CheckpointError, TransferError
from transferlib.ship import onnx as export

METRICS = {
    "run": {"strategy": {"name": "fine-tuning"}, "seed": 3},
    "data": {"name": "photos", "synthetic": True, "notes": ["2 files were left out"]},
    "test": {
        "images": 50,
        "accuracy": 0.875,
        "balanced_accuracy": 0.75,
        "auroc": None,
        "intervals_95": {"accuracy": [0.75, 0.95], "balanced_accuracy": [0.5, 0.9], "auroc": [None, None]},
        "per_class": [
            {"name": "ant|bee", "images": 20, "recall": 0.5, "precision": 0.25, "f1": 0.3},
            {"name": "<b>wasp\n", "images": 30, "recall": 1.0, "precision": 0.7, "f1": 0.8},
        ],
    },
}


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def random_images(n, size, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run folder with a small model, and its ONNX file."""
    folder = tmp_path_factory.mktemp("exported")
    model = small_model(seed=5)
    tl.save(model, folder / "run", classes=("across", "down"), image_size=32)
    (folder / "run" / "metrics.json").write_text(json.dumps(METRICS))
    assert main(["export", str(folder / "run"), str(folder / "out" / "model.onnx")]) == 0
    return folder, model


@pytest.mark.parametrize(
    ("backbone", "size"),
    [("efficientnet_lite0", 64), ("resnet18", 64)],
)
def test_the_file_computes_what_pytorch_computes_for_any_number_of_images(backbone, size, tmp_path):
    pretrained = backbone == "efficientnet_lite0"  # its weights are embedded, the other's would be fetched
    model = tl.TransferModel(backbone, num_classes=3, pretrained=pretrained, seed=2).freeze_to(2).train()
    state, modes = state_of(model), [module.training for module in model.modules()]
    made = tl.export_onnx(model, tmp_path / "a.onnx", classes=("a", "b", "c"), image_size=size)
    assert same(state, state_of(model))
    assert modes == [module.training for module in model.modules()]
    session = session_of(made.path)
    for n in (1, 2, 7):
        images = random_images(n, size)
        (got,) = session.run(None, {"images": images.numpy()})
        assert got.shape == (n, 3)
        assert (torch.from_numpy(got) - tl.predict(model, images)).abs().max() < 1e-4
    assert made.difference <= 1e-4
    assert made.bytes == made.path.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_the_graph_is_valid_and_takes_uint8_with_the_preprocessing_inside(exported):
    folder, _ = exported
    onnx.checker.check_model(folder / "out" / "model.onnx", full_check=True)
    session = session_of(folder / "out" / "model.onnx")
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("images", "tensor(uint8)", ["batch", 3, 32, 32])
    assert (result.name, result.type, result.shape) == ("probabilities", "tensor(float)", ["batch", 2])


def test_the_metadata_name_classes_and_preprocessing(exported):
    folder, model = exported
    facts = session_of(folder / "out" / "model.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == ["across", "down"]
    preprocessing = json.loads(facts["preprocessing"])
    assert preprocessing["mean"] == list(model.preprocess.mean)
    assert preprocessing["std"] == list(model.preprocess.std)
    assert preprocessing["image_size"] == 32
    assert facts["output"] == "probabilities"
    assert facts["backbone"] == "small_cnn"


def test_a_file_that_differs_is_not_left_behind(tmp_path, monkeypatch):
    original = export._graph

    def spoilt(served, *rest):
        wrong = tl.TransferModel("small_cnn", num_classes=2, pretrained=False, seed=9)
        return original(torch.nn.Sequential(wrong, torch.nn.Softmax(1)).eval(), *rest)

    monkeypatch.setattr(export, "_graph", spoilt)
    with pytest.raises(TransferError, match=r"differ.*Nothing was written"):
        tl.export_onnx(small_model(), tmp_path / "a.onnx", classes=("a", "b"), image_size=32)
    assert not list(tmp_path.iterdir())


def test_probabilities_that_are_no_numbers_are_refused(tmp_path):
    model = small_model()
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    with pytest.raises(TransferError, match="nan"):
        tl.export_onnx(model, tmp_path / "a.onnx", classes=("a", "b"), image_size=32)
    assert not list(tmp_path.iterdir())


def test_a_graph_for_a_single_size_of_batch_is_refused(tmp_path):
    class Fixed(torch.nn.Module):
        def forward(self, x):
            return x.expand(len(x), -1, -1, -1)  # len() makes a constant of the size

    model = small_model()
    model.stages[0].append(Fixed())
    with pytest.raises(TransferError, match="cannot be translated"):
        tl.export_onnx(model, tmp_path / "a.onnx", classes=("a", "b"), image_size=32)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_the_remedy(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TransferError, match=rf"{name}.*pip install 'transferlib\[export\]'"):
        tl.export_onnx(small_model(), tmp_path / "a.onnx", classes=("a", "b"), image_size=32)


def test_a_name_without_onnx_and_class_names_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(TransferError, match=r"a\.onnx"):
        tl.export_onnx(small_model(), tmp_path / "a.pt", classes=("a", "b"), image_size=32)
    with pytest.raises(TransferError, match="3 class names for 2 outputs"):
        tl.export_onnx(small_model(), tmp_path / "a.onnx", classes=("a", "b", "c"), image_size=32)


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CheckpointError, match="No space left"):
        tl.export_onnx(small_model(), tmp_path / "a.onnx", classes=("a", "b"), image_size=32)
    assert list(tmp_path.iterdir()) == []


def test_the_card_tells_scores_with_intervals_classes_data_and_limits(exported):
    text = (exported[0] / "out" / "MODEL_CARD.md").read_text()
    assert "| accuracy | 0.875 | 0.750 to 0.950 |" in text
    assert "| AUROC | not defined | not defined to not defined |" in text
    assert "50 test images" in text
    assert "0. across" in text
    assert "1. down" in text
    assert "photos (synthetic images)" in text
    assert "2 files were left out" in text
    assert "fine-tuning (seed 3)" in text
    for heading in ("Intended use", "Limits", "How to run it"):
        assert f"## {heading}" in text
    assert r"| ant\|bee | 20 |" in text
    assert "| &lt;b&gt;wasp | 30 |" in text


def test_what_the_card_says_about_running_is_true(exported, tmp_path, monkeypatch, capsys):
    folder, model = exported
    code = (folder / "out" / "MODEL_CARD.md").read_text().split("```python\n")[1].split("```")[0]
    picture = random_images(1, 48)[0, :, :, :40].permute(1, 2, 0).numpy()
    Image.fromarray(picture).resize((400, 480)).save(tmp_path / "photo.jpg")
    shutil.copy(folder / "out" / "model.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(code, scope)
    wanted = tl.predict(model, load_image(tmp_path / "photo.jpg", 32)[None])[0]
    assert torch.allclose(torch.from_numpy(scope["probabilities"]), wanted, atol=0.02)
    assert capsys.readouterr().out.startswith(("across", "down")[int(wanted.argmax())])


def test_without_metrics_the_card_says_that_nothing_is_known(exported, tmp_path, capsys):
    run = shutil.copytree(exported[0] / "run", tmp_path / "run")
    (run / "metrics.json").unlink()
    assert main(["export", str(run), str(tmp_path / "model.onnx")]) == 0
    assert "no metrics.json" in (tmp_path / "MODEL_CARD.md").read_text()
    assert "agree" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", "[]", '{"test": {}}', json.dumps({**METRICS, "run": 3})])
def test_damaged_metrics_are_an_error_and_leave_nothing(content, exported, tmp_path, capsys):
    run = shutil.copytree(exported[0] / "run", tmp_path / "run")
    (run / "metrics.json").write_text(content)
    assert main(["export", str(run), str(tmp_path / "out" / "model.onnx")]) == 1
    assert "metrics.json" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("name", ["model.onnx", "MODEL_CARD.md"])
def test_what_is_there_is_not_replaced_unless_that_is_allowed(name, exported, tmp_path, capsys):
    (tmp_path / name).write_text("mine")
    command = ["export", str(exported[0] / "run"), str(tmp_path / "model.onnx")]
    assert main(command) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert (tmp_path / name).read_bytes() != b"mine"


def test_a_failed_export_says_so_in_one_line(exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main(["export", str(exported[0] / "run"), str(tmp_path / "model.onnx")]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert not out
    assert not list(tmp_path.iterdir())


def test_the_export_prints_nothing_but_its_own_lines(exported, tmp_path, capfd, recwarn):
    tl.export_onnx(small_model(), tmp_path / "a.onnx", classes=("a", "b"), image_size=32)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not [str(warning.message) for warning in recwarn]
