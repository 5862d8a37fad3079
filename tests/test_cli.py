import csv
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from helpers import same, small_model, state_of, stripe_splits, stripes
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from PIL import Image

import transferlib as tl
from transferlib.advice.plan import duration, plan
from transferlib.cli import main
from transferlib.cli import train as commands_train
from transferlib.cli.parser import STRATEGIES
from transferlib.cli.train import progress_line
from transferlib.cli.use import KINDS, safe_cell
from transferlib.data.own.images import load_image
from transferlib.evaluation import finite
from transferlib.run import Epoch

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


def test_the_report_takes_the_name_of_a_folder_as_text(photos, tmp_path):
    folder = photos.rename(photos.with_name("a|b `c` <i>$x^{$"))
    assert main(["train", str(folder), *QUICK, "--out", str(tmp_path / "run")]) == 0
    title = (tmp_path / "run" / "README.md").read_text().splitlines()[0]
    assert title == r"# From scratch of small_cnn on a\|b \`c\` &lt;i&gt;$x^{$"


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_that_are_no_text_and_names_like_formulas_get_as_far_as_the_model_card(tmp_path, monkeypatch):
    photos, out, split = tmp_path / os.fsdecode(b"photos\xff"), tmp_path / "run", stripes(24, 0)
    fill(photos, split.images, split.labels, names=(os.fsdecode(b"\xfe"), "$x^{$"))
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["train", str(photos), *QUICK, "--out", str(out)]) == 0
    assert main(["evaluate", str(out), str(photos)]) == 0
    assert main(["export", str(out), str(tmp_path / "model.onnx")]) == 0
    assert main(["data", "sheet", str(photos), "--out", str(tmp_path / "sheet.png")]) == 0
    terminal.flush()
    assert b"\n  \\udcfe " in terminal.buffer.getvalue()
    assert "1. \\udcfe\n" in (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "# From scratch of small_cnn on photos\\udcff\n" in (out / "README.md").read_text(encoding="utf-8")


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


def test_a_progress_line_tells_images_a_second_and_the_time_left():
    epoch = Epoch(3, 2, 1e-3, 0.5, 0.25, 0.875, 0.75, 2.0)
    assert progress_line(epoch, 40, 100).endswith("accuracy 0.875  2.0 s  (50 images/s, about 1 min 14 s left)")
    assert progress_line(epoch, 3, 100).endswith("2.0 s  (50 images/s)")


def test_train_json_is_one_object_and_the_progress_goes_to_stderr(photos, tmp_path, capsys):
    assert main(["train", str(photos), *QUICK, "--json", "--out", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert "epoch   2/2" in err
    assert "images/s" in err
    assert facts.pop("out") == str(tmp_path / "run")
    assert facts.pop("interrupted") is False
    assert facts == json.loads((tmp_path / "run" / "metrics.json").read_text())


def test_what_is_no_number_is_null_in_json():
    assert finite({"a": float("nan"), "b": [1.5, float("inf")], "c": (True, "nan")}) == {
        "a": None,
        "b": [1.5, None],
        "c": [True, "nan"],
    }


def dry_run(photos, tmp_path, *more):
    return main(["train", str(photos), "--image-size", "32", *more, "--out", str(tmp_path / "run"), "--dry-run"])


def test_a_dry_run_writes_nothing_and_trains_nothing(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(commands_train, "fit", None)  # calling it would be an error
    before = sorted(tmp_path.rglob("*"))
    assert dry_run(photos, tmp_path, "--strategy", "progressive-unfreezing", "--epochs", "8") == 0
    said = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    assert "phase 1: 2 epochs" in said
    assert "phase 4" in said
    assert "stem frozen" in said
    assert "altogether" in said


def test_a_dry_run_tells_who_learns_how_fast_and_how_much_is_kept(photos, tmp_path, capsys):
    options = ("--backbone", "resnet18", "--strategy", "progressive-unfreezing", "--epochs", "8", "--json")
    assert dry_run(photos, tmp_path, *options) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert "Splits" in err
    model = tl.TransferModel("resnet18", 2, pretrained=False)
    assert facts["parameters"] == {name: count for name, count, _ in model.parameter_table()}
    strategy = tl.progressive_unfreezing(8)
    splits = tl.load_data("folder", path=photos, image_size=32)
    assert facts["steps"] == -(-len(splits.train) // strategy.batch_size)
    for planned, phase in zip(facts["phases"], strategy.phases, strict=True):
        model.freeze_to(phase.frozen_below(5))
        assert list(planned["rates"].values()) == phase.rates(5)
        assert planned["parameters"] == sum(count for _, count, learns in model.parameter_table() if learns)
        assert planned["epochs"] == phase.epochs
        assert planned["seconds"] > 0
        assert planned["cache_bytes"] == 0  # progressive unfreezing draws fresh views every epoch
    assert facts["seconds"] >= sum(phase["seconds"] for phase in facts["phases"])


def test_the_cache_of_a_dry_run_is_the_cache_of_the_run(photos, tmp_path, capsys):
    assert dry_run(photos, tmp_path) == 0
    assert "; cache 0.2 MB; about" in capsys.readouterr().out
    assert dry_run(photos, tmp_path, "--json") == 0
    (phase,) = json.loads(capsys.readouterr().out)["phases"]
    splits = tl.load_data("folder", path=photos, image_size=32)
    assert phase["cache_bytes"] == 1280 * 4 * (len(splits.train) + len(splits.val))
    run = tl.fit(tl.TransferModel(num_classes=2), splits, tl.feature_extraction(1), device="cpu")
    assert f"{phase['cache_bytes'] / 1e6:.1f} MB" in " ".join(run.notes)


def test_planning_leaves_the_model_as_it_was():
    model, splits = small_model().freeze_to(1).train(), stripe_splits()
    state, modes = state_of(model), [module.training for module in model.modules()]
    planned = plan(model, splits, tl.fine_tuning(2))
    assert planned.parameters["head"] == 258
    assert same(state, state_of(model))
    assert modes == [module.training for module in model.modules()]
    assert model.frozen_below == 1
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (8.4, "8 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_read_as_people_say_them(seconds, said):
    assert duration(seconds) == said


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


def test_predict_says_the_same_as_json(trained, photos, capsys):
    files = [str(photos / "across" / "0.png"), str(photos / "down" / "1.png")]
    assert main(["predict", str(trained), *files]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert main(["predict", str(trained), *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [item["file"] for item in found] == [row["file"] for row in rows] == files
    for item, row in zip(found, rows, strict=True):
        assert item["class"] == row["class"]
        shares = {entry["class"]: entry["probability"] for entry in item["top"]}
        assert sum(shares.values()) == pytest.approx(1)
        assert item["probability"] == max(shares.values()) == shares[item["class"]]
        assert shares == pytest.approx({name: float(row[name]) for name in ("across", "down")}, abs=1e-4)


def test_predict_top_names_the_most_probable_classes_in_their_order(trained, photos, capsys):
    file = str(photos / "across" / "0.png")
    main(["predict", str(trained), file])
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    first, second = sorted(("across", "down"), key=lambda name: -float(row[name]))
    for top in ("2", "9"):
        main(["predict", str(trained), file, "--top", top])
        header, cells = csv.reader(io.StringIO(capsys.readouterr().out))
        assert header == ["file", "class", "probability", "class 2", "probability 2"]
        assert cells == [file, first, row[first], second, row[second]]
    main(["predict", str(trained), file, "--top", "1"])
    assert capsys.readouterr().out.splitlines() == ["file,class,probability", f"{file},{first},{row[first]}"]
    main(["predict", str(trained), file, "--top", "1", "--json"])
    (item,) = json.loads(capsys.readouterr().out)
    assert [entry["class"] for entry in item["top"]] == [first]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_csv_is_a_formula(start, tmp_path, capsys, monkeypatch):
    """Names of files and of classes are chosen by strangers, and spreadsheets run what begins like a formula."""
    name = f"{start}1+cmd"
    tl.save(small_model(), tmp_path / "run", classes=(name, f"{name}2"), image_size=32)
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "photos", stripes(2, 0).images, [0, 1])
    file = f"{name}.png"
    (tmp_path / "photos" / "across" / "0.png").rename(tmp_path / file)
    assert main(["predict", "run", "--", file]) == 0
    header, cells = csv.reader(io.StringIO(capsys.readouterr().out, newline=""))
    assert header[3:] == [f"'{name}", f"'{name}2"]
    assert cells[0] == f"'{file}"
    assert cells[1] in header[3:]
    assert main(["predict", "run", "--json", "--", file]) == 0
    assert json.loads(capsys.readouterr().out)[0]["file"] == file


@given(text=st.text())
def test_a_safe_cell_survives_csv_and_is_no_formula(text):
    out = io.StringIO(newline="")
    csv.writer(out).writerow([safe_cell(text), "x"])
    ((cell, _),) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    cell.encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert cell in (text, f"'{text}")


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_file_names_with_newlines_commas_and_bytes_that_are_no_text_are_one_row_each(trained, photos, capsys):
    names = [b"a\nb.png", b'c,"d".png', b"\xff.png"]
    picture = (photos / "across" / "0.png").read_bytes()
    for name in names:
        (trained / os.fsdecode(name)).write_bytes(picture)
    broken = trained / "broken\nfile.jpg"
    broken.write_bytes(b"no picture")
    files = [str(trained / os.fsdecode(name)) for name in names]
    assert main(["predict", str(trained), *files, str(broken)]) == 1
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [row["file"] for row in rows] == [*files[:2], f"{trained}/\\udcff.png"]
    assert len(err.splitlines()) == 1
    assert "broken\\nfile.jpg" in err


def test_predict_passes_over_other_files_in_a_folder_and_says_when_there_is_none(trained, photos, tmp_path, capsys):
    (photos / "down" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(trained), str(photos / "down")]) == 0
    assert main(["predict", str(trained), str(tmp_path / "empty"), str(photos / "across" / "0.png")]) == 1
    out, err = capsys.readouterr()
    passed = f"note: {str(photos / 'down')!r}: passed over 1 entry (not named like an image): 'notes.txt'\n"
    assert err == f"{passed}error: {str(tmp_path / 'empty')!r} holds no image file. Give a folder of {KINDS}.\n"
    assert str(photos / "across" / "0.png") in out


def test_predict_cam_writes_one_picture_an_image_and_never_over_one(trained, photos, tmp_path, capsys):
    folder = tmp_path / "maps"
    folder.mkdir()
    shutil.copy(photos / "across" / "0.png", folder / "0.cam.png")
    mine = (folder / "0.cam.png").read_bytes()
    files = [photos / "across" / "0.png", photos / "down" / "1.png", folder / "0.cam.png", photos / "across" / "2.png"]
    shutil.copy(photos / "across" / "2.png", photos / "down" / "2.png")
    command = ["predict", str(trained), *map(str, files), str(photos / "down" / "2.png"), "--cam", str(folder)]
    assert main(command) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    maps = [Path(row["cam"]) for row in rows]
    assert [path.name for path in maps] == ["0-2.cam.png", "1.cam.png", "0.cam.cam.png", "2.cam.png", "2-2.cam.png"]
    assert (folder / "0.cam.png").read_bytes() == mine
    assert len(list(folder.iterdir())) == 6
    for path in maps:
        with Image.open(path) as picture:
            assert len(set(picture.convert("RGB").get_flattened_data())) > 50
    assert main([*command, "--json"]) == 0
    assert [item["cam"] for item in json.loads(capsys.readouterr().out)] == [str(path) for path in maps]
    assert len(list(folder.iterdir())) == 6


def test_the_map_is_titled_with_class_and_probability_even_with_dollars(photos, tmp_path, monkeypatch):
    titles = []
    original = Axes.set_title
    monkeypatch.setattr(
        Axes, "set_title", lambda axes, text, **more: titles.append(text) or original(axes, text, **more)
    )
    tl.save(small_model(), tmp_path / "run", classes=("$x^{$", "$$\\frac"), image_size=64)
    file = photos / "across" / "0.png"
    assert main(["predict", str(tmp_path / "run"), str(file), "--cam", str(tmp_path / "maps")]) == 0
    shares = tl.predict(small_model(), load_image(file, 64)[None])[0]
    best = int(shares.argmax())
    assert titles == [f"{('$x^{$', '$$' + chr(92) + 'frac')[best]}: {shares[best]:.3f}"]


def test_a_transformer_has_no_map_and_that_is_said_before_anything_is_written(tmp_path, photos, capsys):
    vit = tl.TransferModel("vit_b_16", 2, pretrained=False)
    tl.save(vit, tmp_path / "run", classes=("a", "b"), image_size=224)
    command = ["predict", str(tmp_path / "run"), str(photos / "across" / "0.png"), "--cam", str(tmp_path / "maps")]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert "vit_b_16 has no map" in err
    assert not out
    assert not (tmp_path / "maps").exists()


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


@pytest.mark.parametrize("name", ["sheet.xyz", "photo.png/sheet.png"])
def test_a_sheet_that_cannot_be_written_is_one_error_and_leaves_nothing(name, tmp_path, capsys):
    (tmp_path / "photo.png").touch()
    assert main(["data", "sheet", "digits", "--n-train", "8", "--out", str(tmp_path / name)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


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


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_one_error_with_the_command_that_installs_it(
    package, workplace, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", str(workplace / "run"), str(tmp_path / "model.onnx")]) == 1
    said = capsys.readouterr()
    assert not said.out and not list(tmp_path.iterdir())
    (error,) = said.err.splitlines()
    assert error == f"error: the export needs {package}, which is not installed. Run: pip install 'transferlib[export]'"


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


COMMANDS = [["train"], ["evaluate"], ["predict"], ["export"], ["data", "check"], ["data", "sheet"]]


def help_of(*words):
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    return out.getvalue()


EXAMPLES = [
    line.removeprefix("example: ")
    for words in [[], *COMMANDS]
    for line in help_of(*words).splitlines()
    if line.startswith("example: ")
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with what the examples name: PHOTOS, letters.csv, a.jpg, b.jpg and run."""
    folder = tmp_path_factory.mktemp("workplace")
    split = stripes(24, 0)
    fill(folder / "PHOTOS", split.images, split.labels)
    letters = [f"{('billing', 'praise')[n % 2]},letter {n}" for n in range(24)]
    (folder / "letters.csv").write_text("\n".join(["department,letter", *letters]), encoding="utf-8")
    for name, image in zip("ab", stripes(2, 9).images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{name}.jpg")
    tl.save(small_model(), folder / "run", classes=("across", "down"), image_size=32)
    return folder


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_of_the_help_runs_and_writes_what_it_names(example, workplace, tmp_path, monkeypatch, capsys):
    shutil.copytree(workplace, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    words = shlex.split(example)
    if words[1] == "train":  # its --out is the run that the other examples take
        shutil.rmtree("run")
    words, target = (words[:-2], words[-1]) if ">" in words else (words, None)
    assert words[0] == "transferlib"
    assert main(words[1:]) == 0
    out = capsys.readouterr().out
    if target:
        Path(target).write_text(out)
    made = [Path(word) for before, word in pairwise(words) if before in ("--out", "--cam") and "--dry-run" not in words]
    made += [Path(words[-1]), Path("MODEL_CARD.md")] if words[1] == "export" else []
    assert out
    assert all(path.is_file() or list(path.iterdir()) for path in made)
    if "--json" in words:
        json.loads(out)


def test_each_strategy_is_called_on_the_command_line_what_it_is_called_elsewhere():
    assert {make().name.lower().replace(" ", "-"): make for make in STRATEGIES.values()} == STRATEGIES


def test_the_help_documents_the_exit_codes(capsys):
    assert "0 all went well, 1 an error, 2 wrong usage, 130 interrupted" in help_of()
    for wrong in (
        ["train"],
        ["predict", "run", "a.jpg", "--top", "0"],
        ["predict", "run", "a.jpg", "--top", "two"],
        ["no"],
    ):
        with pytest.raises(SystemExit) as stop:
            main(wrong)
        assert stop.value.code == 2
    assert "at least 1, not 0" in capsys.readouterr().err


@pytest.mark.parametrize("words", COMMANDS)
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


def test_an_interrupted_run_goes_on_with_resume_and_ends_as_if_nothing_had_happened(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(commands_train, "SAVE_EVERY", 0.0)
    command = ["train", str(photos), *QUICK[:-1], "6"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    real = commands_train.progress_line

    def stop(epoch, *rest):
        if epoch.epoch == 3:
            signal.raise_signal(signal.SIGTERM)
        return real(epoch, *rest)

    monkeypatch.setattr(commands_train, "progress_line", stop)
    out = tmp_path / "halves"
    assert main([*command, "--out", str(out)]) == 130
    assert (out / "progress" / "progress.json").exists()
    monkeypatch.setattr(commands_train, "progress_line", real)
    assert main([*command, "--out", str(out)]) == 1  # neither --resume nor --overwrite
    assert main([*command, "--out", str(out), "--resume"]) == 0
    assert not (out / "progress").exists()
    assert same(*(state_of(tl.load(tmp_path / name)[0]) for name in ("whole", "halves")))


def test_overwrite_begins_anew_instead_of_going_on(photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "progress").mkdir(parents=True)
    (tmp_path / "progress" / "progress.json").write_text("{}")
    command = ["train", str(photos), *QUICK, "--out", str(tmp_path)]
    assert main(command) == 1
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert not (tmp_path / "progress").exists()
