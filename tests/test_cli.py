import csv
import io
import json
import signal
import subprocess
import sys

import pytest
import torch
from helpers import stripes
from PIL import Image

import transferlib as tl
from transferlib.cli import main

COMMAND = [sys.executable, "-m", "transferlib"]
QUICK = ["--strategy", "from-scratch", "--backbone", "small_cnn", "--image-size", "32", "--epochs", "2"]


def fill(folder, images, labels, names=("across", "down")):
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / names[int(label)] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


@pytest.fixture
def photos(tmp_path):
    """40 images of two classes, each another one."""
    split = stripes(40, 0)
    fill(tmp_path / "photos", split.images, split.labels)
    return tmp_path / "photos"


@pytest.fixture
def trained(photos, tmp_path, capsys):
    assert main(["train", str(photos), *QUICK, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    return tmp_path / "run"


def test_train_leaves_a_report_figures_and_a_model_that_loads(photos, tmp_path, capsys):
    out = tmp_path / "deep" / "run"
    assert main(["train", str(photos), *QUICK, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "epoch   2/2" in said
    assert "test: accuracy" in said
    facts = json.loads((out / "metrics.json").read_text())
    assert facts["data"]["classes"] == ["across", "down"]
    assert len(facts["run"]["history"]) == 2
    assert 0 <= facts["test"]["accuracy"] <= 1
    for name in ("curves.png", "confusion.png", "schedule.png"):
        Image.open(out / name).verify()
    model, _ = tl.load(out)
    assert model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 2)
    assert not list(out.glob(".*"))


def test_what_the_report_says_about_loading_is_true(trained):
    text = (trained / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    scope = {"images": torch.zeros(1, 3, 32, 32, dtype=torch.uint8)}
    exec(code, scope)
    assert scope["probabilities"].shape == (1, 2)


def test_the_same_seed_trains_the_same_model(photos, tmp_path):
    for name in ("a", "b"):
        main(["train", str(photos), *QUICK, "--out", str(tmp_path / name)])
    one, other = (json.loads((tmp_path / name / "model.json").read_text())["sha256"] for name in ("a", "b"))
    assert one == other


def test_a_model_is_not_replaced_unless_that_is_allowed(photos, trained, capsys):
    before = (trained / "model.json").read_bytes()
    assert main(["train", str(photos), *QUICK, "--out", str(trained)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (trained / "model.json").read_bytes() == before
    assert main(["train", str(photos), *QUICK, "--seed", "1", "--out", str(trained), "--overwrite"]) == 0
    assert (trained / "model.json").read_bytes() != before


def test_evaluate_scores_the_test_part_and_says_it_as_json(trained, tmp_path, capsys):
    split = stripes(12, 5)
    for part in ("train", "test"):
        fill(tmp_path / "new" / part, split.images, split.labels)
    assert main(["evaluate", str(trained), str(tmp_path / "new"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["images"] == 12
    assert [row["name"] for row in facts["per_class"]] == ["across", "down"]


def test_evaluate_warns_when_the_folder_holds_no_test_part(trained, photos, capsys):
    assert main(["evaluate", str(trained), str(photos)]) == 0
    assert "flattered" in capsys.readouterr().err


def test_evaluate_refuses_a_class_that_the_model_does_not_know(trained, tmp_path, capsys):
    split = stripes(4, 5)
    fill(tmp_path / "new", split.images, split.labels, names=("across", "diagonal"))
    assert main(["evaluate", str(trained), str(tmp_path / "new")]) == 1
    assert "'diagonal'" in capsys.readouterr().err


def test_predict_writes_one_row_a_file_and_goes_on_after_a_broken_one(trained, photos, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    good = photos / "across" / "0.png"
    assert main(["predict", str(trained), str(good), str(broken), str(photos / "down")]) == 1
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 21
    assert str(broken) in err
    assert float(rows[0]["across"]) + float(rows[0]["down"]) == pytest.approx(1, abs=1e-3)


def test_data_check_ends_with_0_when_all_is_well_and_1_when_not(photos, capsys):
    assert main(["data", "check", str(photos)]) == 0
    (photos / "across" / "half.png").write_bytes((photos / "across" / "0.png").read_bytes()[:60])
    assert main(["data", "check", str(photos)]) == 1
    assert "half.png" in capsys.readouterr().out
    assert main(["data", "check", str(photos), "--json"]) == 1
    json.loads(capsys.readouterr().out)


def test_data_sheet_draws_a_picture(tmp_path):
    assert (
        main(["data", "sheet", "photos", "--image-size", "32", "--n-train", "64", "--out", str(tmp_path / "a.png")])
        == 0
    )
    Image.open(tmp_path / "a.png").verify()


def test_an_embedded_set_trains_by_name(tmp_path, capsys):
    command = ["train", "digits", *QUICK, "--n-train", "40", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    assert "10 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "no such folder", "--out", "x"], "no such folder"),
        (["train", "digits", "--backbone", "resnet81", "--out", "x"], "resnet18"),
        (["train", "digits", "--epochs", "0", "--out", "x"], "epochs"),
        (["evaluate", "no such run", "digits"], "no model.json"),
        (["predict", "no such run", "a.jpg"], "no model.json"),
        (["data", "check", "no such folder"], "no such folder"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_1(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_and_one_class_are_refused_by_name(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["train", str(tmp_path / "empty"), *QUICK, "--out", str(tmp_path / "run")]) == 1
    fill(tmp_path / "one", stripes(6, 0).images, [0] * 6)
    assert main(["train", str(tmp_path / "one"), *QUICK, "--out", str(tmp_path / "run")]) == 1
    assert "'across'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT for another process")
def test_ctrl_c_saves_the_best_model_so_far(photos, tmp_path):
    out = tmp_path / "run"
    command = [*COMMAND, "train", str(photos), *QUICK[:-1], "100000", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("epoch   3/"):
                break
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "keeping the weights of epoch" in rest
    model, _ = tl.load(out)
    assert model.backbone == "small_cnn"


@pytest.mark.parametrize("words", [["train"], ["evaluate"], ["predict"], ["data", "check"], ["data", "sheet"]])
def test_help_has_an_example_for_every_command(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    assert f"example: transferlib {' '.join(words)}" in capsys.readouterr().out


class TestRealPhotographs:
    """On the photographs beside the project, where there are any."""

    def test_hymenoptera_probe_is_as_good_as_the_first_figures(self, real_data, tmp_path):
        photos = real_data("hymenoptera/hymenoptera_data")
        out = tmp_path / "run"
        assert main(["train", str(photos), "--image-size", "128", "--on-bad", "skip", "--out", str(out)]) == 0
        assert json.loads((out / "metrics.json").read_text())["test"]["accuracy"] > 0.88
        assert main(["evaluate", str(out), str(photos), "--on-bad", "skip"]) == 0

    def test_the_gif_is_named_and_stops_training_unless_it_may_be_left_out(self, real_data, tmp_path, capsys):
        photos = real_data("hymenoptera/hymenoptera_data")
        assert main(["train", str(photos), "--image-size", "64", "--out", str(tmp_path / "run")]) == 1
        assert "imageNotFound.gif" in capsys.readouterr().err

    def test_isic_is_refused_with_the_reasons_and_trains_without_what_is_bad(self, real_data, tmp_path, capsys):
        photos = real_data("isic9/images")
        assert main(["data", "check", str(photos)]) == 1
        out, _ = capsys.readouterr()
        assert "155" in out
        assert "18" in out
        command = ["train", str(photos), "--image-size", "48", "--n-train", "100", "--out", str(tmp_path / "run")]
        assert main(command) == 1
        assert main([*command, "--on-bad", "skip"]) == 0
        assert "seborrheic keratosis" in capsys.readouterr().err
