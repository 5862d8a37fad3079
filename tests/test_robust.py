"""What people do to a command line: odd terminals, cut pipes, impossible devices and sizes, one class, a thousand."""

import io
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_model, stripe_splits, stripes
from matplotlib.figure import Figure
from PIL import Image

import transferlib as tl
from transferlib import plots
from transferlib.cli import main
from transferlib.data.own.folder import labelled_split
from transferlib.data.own.scan import outside
from transferlib.data.splits import encode
from transferlib.engine.memory import batched
from transferlib.engine.processes import pick_device
from transferlib.errors import DataError, TransferError
from transferlib.evaluation import score
from transferlib.files import room, waiting
from transferlib.networks import backbone

QUICK = ["--strategy", "from-scratch", "--backbone", "small_cnn", "--image-size", "32", "--epochs", "1"]
SCRIPTS = ("蚂蚁", "Käfer", "пчела", "نحلة", "🐝")


def fill(folder: Path, names, each: int = 8, size: int = 32) -> Path:
    rng = np.random.default_rng(each)
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def run(tmp_path):
    """A trained model of two classes."""
    tl.save(small_model(), tmp_path / "run", classes=("across", "down"), image_size=32)
    return tmp_path / "run"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_every_command_prints_what_the_terminal_can_take(encoding, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(Path("photos"), SCRIPTS)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace"))
    photo = f"photos/{SCRIPTS[0]}/0.png"
    for command in (
        ["train", "photos", *QUICK, "--dry-run", "--out", "run"],
        ["train", "photos", *QUICK, "--out", "run"],
        ["evaluate", "run", "photos"],
        ["evaluate", "run", "photos", "--json"],
        ["data", "check", "photos"],
        ["data", "check", "photos", "--json", "--report", "found"],
        ["data", "sheet", "photos", "--image-size", "32", "--out", "sheet.png"],
        ["predict", "run", photo, "--json", "--cam", "maps"],
        ["predict", "run", photo],
    ):
        assert main(command) == 0, command
    for words in (["train"], ["data", "check"]):
        with pytest.raises(SystemExit, match="0"):
            main([*words, "--help"])
    terminal.flush()
    said = terminal.buffer.getvalue()
    if encoding == "cp1252":
        assert b"\\u8682\\u8681" in said and "Käfer".encode("cp1252") in said


def test_letters_that_a_font_lacks_are_one_note_a_picture(tmp_path, caplog, recwarn):
    fill(tmp_path / "photos", ["蚂蚁", "蜜蜂"])
    assert main(["train", str(tmp_path / "photos"), *QUICK, "--out", str(tmp_path / "run")]) == 0
    assert [record.message for record in caplog.records if "boxes" in record.message] == [
        "confusion.png: letters of the names that its font lacks are drawn as boxes"
    ]
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes as on POSIX")
@pytest.mark.parametrize("words", [["predict", "run", "photos"], ["evaluate", "run", "photos"], ["train", "--help"]])
def test_output_that_is_cut_ends_quietly(words, run):
    fill(run.parent / "photos", ["across", "down"])
    read, write = os.pipe()
    os.close(read)  # as `head` does, before the first line
    command = [sys.executable, "-m", "transferlib", *words]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, cwd=run.parent, check=False)
    os.close(write)
    assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == []
    assert done.returncode == (0 if "--help" in words else 141)  # argparse swallows it


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_output_to_a_full_disk_is_one_error(run):
    fill(run.parent / "photos", ["across", "down"])
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "transferlib", "predict", "run", "photos"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=run.parent, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the output cannot be read or written (No space left")


@pytest.mark.parametrize("device", ["cuda:99", "cdua", "gpu", "cpu:x", "meta", "0", "GPU 0"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(device):
    with pytest.raises(TransferError, match=rf"no device '{device}' here .*There is: cpu"):
        pick_device(device)
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "cdua"], "'cdua'"),
        (["--seed", "-1"], "seed must be a whole number from 0 to 9223372036854775807, not -1"),
        (["--seed", str(2**70)], "seed must be"),
        (["--image-size", "100000"], "image_size=100000 is too large"),
        (["--input-size", "100000"], "100000×100000 pixels would take"),
        (["--out", "x" * 300], "x" * 300),
        (["--batch-size", "1"], "choose batch_size="),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_left(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fill(Path("photos"), ["a", "b"])
    assert main(["train", "photos", *QUICK, "--out", "run", *options]) == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert error.startswith("error: ") and said in error
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "words", [["data", "check"], ["train", *QUICK, "--out", "run", "--dry-run"], ["data", "sheet", "--out", "a.png"]]
)
def test_an_empty_name_is_not_the_folder_one_is_in(words, tmp_path, monkeypatch, capsys):
    """As of a variable that is not set: transferlib predict run "$PHOTOS"."""
    monkeypatch.chdir(fill(tmp_path / "photos", ["a", "b"]))
    assert main([*words, ""]) == 1
    assert "error: '' is not a folder that can be found" in capsys.readouterr().err


def test_predict_takes_an_empty_name_for_a_mistake(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(fill(tmp_path / "photos", ["a", "b"]))
    assert main(["predict", str(run), ""]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("option", ["--out", "--cache"])
def test_a_place_that_cannot_be_written_to_is_refused_before_the_images_are_read(option, tmp_path, monkeypatch, capsys):
    fill(tmp_path / "photos", ["a", "b"])
    (tmp_path / "file").touch()
    monkeypatch.setattr("transferlib.data.own.scan._load", None)
    words = ["train", str(tmp_path / "photos"), *QUICK, "--out", str(tmp_path / "run"), option]
    assert main([*words, str(tmp_path / "file" / "run")]) == 1
    assert "file' is no folder that you may write to. Give another place" in capsys.readouterr().err


def test_a_place_in_one_s_home_is_there_and_not_in_a_folder_called_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert outside("--out", "~/run") == tmp_path / "run"
    with pytest.raises(DataError, match="cannot be used"):
        outside("--out", "~nobody-of-that-name/run")


def test_what_a_table_cannot_give_is_refused(tmp_path, capsys):
    rows = [f"{'ab'[i % 2]},text {i}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["label,text", *rows]))
    assert main(["data", "check", str(tmp_path / "t.csv"), "--report", str(tmp_path / "findings")]) == 1
    assert "takes no --report: leave it out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sheet.xyz", "sheet.pgf", "sheet.eps", "sheet.jpg"])
def test_a_picture_of_a_bad_suffix_is_refused_before_the_images_are_read(name, tmp_path, capsys):
    assert main(["data", "sheet", str(tmp_path / "nothing here"), "--out", str(tmp_path / name)]) == 1
    err = capsys.readouterr().err
    assert name in err and "ends with .png" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("name", ["", "model", "model.pt", "."])
def test_a_bad_name_of_an_onnx_file_is_one_line(name, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), name]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and len(err.splitlines()) == 1


def test_the_smallest_batch_that_is_proposed_is_one_that_trains():
    splits = stripe_splits(5)
    for size in (1, 2, 4):
        strategy = tl.from_scratch(1, batch_size=size)
        try:
            tl.fit(small_model(), splits, strategy)
        except TransferError as error:
            enough = int(str(error).split("batch_size=")[1].split()[0])
            assert enough == 3
            tl.fit(small_model(), splits, tl.from_scratch(1, batch_size=enough))
        else:
            assert size == 4


@pytest.mark.parametrize("name", ["vgg11_bn", "convnext_tiny"])
def test_images_too_small_for_a_network_are_refused_with_a_size_that_does(name):
    model = tl.TransferModel(name, 2, pretrained=False)
    small = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"8×8 are too small for .*input_size=224"):
        tl.predict(model, small)
    with pytest.raises(DataError, match="too small"):
        splits = stripe_splits()
        tiny = [tl.Split(part.inputs[..., :8, :8], part.labels, part.groups) for part in (splits.train, splits.val)]
        tl.fit(model, tl.Splits(*tiny, splits.test, splits.classes, "tiny"), tl.fine_tuning(1))


@pytest.mark.parametrize("change", [lambda x: x * 255, lambda x: x - 0.5, lambda x: (x - 0.45) / 0.22, lambda x: x / 0])
def test_float_images_outside_0_to_1_are_refused_by_their_range(change):
    images = stripes(4, 0).images.float() / 255
    with pytest.raises(DataError, match=r"must lie in 0…1, not from .* to .*: divide by 255"):
        tl.predict(small_model(), change(images))


@pytest.mark.parametrize(("dtype", "off"), [(torch.float64, 1e-6), (torch.float16, 0.01), (torch.bfloat16, 0.05)])
def test_float_images_of_every_precision_give_the_answers_of_bytes(dtype, off):
    images = stripes(8, 0).images
    wanted = tl.predict(small_model(), images)
    assert (tl.predict(small_model(), (images.double() / 255).to(dtype)) - wanted).abs().max() < off
    assert torch.equal(tl.predict(small_model(), images.numpy()), wanted)
    for other in (images.long(), images > 99, images.int()):
        with pytest.raises(DataError, match=str(other.dtype)):
            tl.predict(small_model(), other)


def test_one_class_has_no_auroc_and_an_absent_class_no_recall(run, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score(np.zeros(4, int), np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.7, 0.3]]), ("a", "b"))
        assert "AUROC –" in repr(scores)
        assert np.isnan(scores.per_class[1].recall) and np.isnan(scores.per_class[1].precision)
        told = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert told["per_class"][1] == {"name": "b", "images": 0, "recall": None, "precision": None, "f1": None}
    fill(tmp_path / "one", ["across"])
    assert main(["evaluate", str(run), str(tmp_path / "one")]) == 0
    out = capsys.readouterr().out
    assert "AUROC –" in out and "nan" not in out
    assert "down                         0 images  recall –" in out


def test_a_class_that_is_there_and_never_called_has_recall_0_and_no_precision():
    row = score(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]])).per_class[1]
    assert (row.recall, row.f1) == (0.0, 0.0) and np.isnan(row.precision)


def test_what_training_leaves_out_evaluation_leaves_out_too(tmp_path, capsys):
    photos = fill(fill(tmp_path / "photos", ["a", "b"]), ["rare"], each=1)
    run = str(tmp_path / "run")
    assert main(["train", str(photos), *QUICK, "--on-bad", "skip", "--out", run]) == 0
    assert main(["evaluate", run, str(photos)]) == 1
    assert "'rare'" in capsys.readouterr().err
    assert main(["evaluate", run, str(photos), "--on-bad", "skip"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("16 images") and "1 class that the model does not know: 'rare'" in err
    with pytest.raises(DataError, match="no image"):
        labelled_split(photos, ("x", "y"), image_size=8, on_bad="skip")


def test_many_classes_are_drawn_without_their_names():
    for classes, ticks in ((50, 50), (51, 0), (1000, 0)):
        labels = np.arange(classes)
        scores = score(np.repeat(labels, 2), np.eye(classes)[np.repeat(labels, 2)])
        axes = plots.confusion(scores, Figure().subplots())
        names = [tick for tick in axes.get_yticklabels() if tick.get_text() in map(str, labels)]
        assert len(axes.texts) == ticks and (len(names) == ticks or not ticks)


@pytest.fixture
def little_memory(monkeypatch):
    """A machine with 2 GB free."""
    monkeypatch.setattr(room, "free_memory", lambda: 2 * 10**9)


@pytest.mark.usefixtures("little_memory")
def test_a_size_that_cannot_fit_is_refused_before_anything_is_decoded_with_one_that_fits(tmp_path, monkeypatch):
    fill(tmp_path / "photos", ["a", "b"])
    with monkeypatch.context() as patch:
        patch.setattr(tl.data.own.scan, "decode_image", lambda *_, **__: pytest.fail("decoded"))
        with pytest.raises(
            DataError, match=r"image_size=5000 .* 16 images .* 2.0 GB are free: \d+ would fit"
        ) as refused:
            tl.load_data("folder", path=tmp_path / "photos", image_size=5000)
        with pytest.raises(DataError, match="image_size=100000"):
            tl.load_data("digits", 40, image_size=100_000)
        with pytest.raises(DataError, match=r"4,000,000 images"):
            tl.load_data("lesions", 4_000_000, image_size=64)
    fits = int(str(refused.value).split("free: ")[1].split()[0])
    assert room.no_room(fits, 6 * 16 + 512) == "" != room.no_room(fits + 10, 6 * 16 + 512)
    with pytest.raises(DataError, match="an image"):
        tl.data.own.images.load_image(tmp_path / "photos" / "a" / "0.png", 50_000)


@pytest.mark.usefixtures("little_memory")
def test_one_long_text_that_makes_all_too_large_is_refused_by_its_beginning():
    """Texts are kept side by side, each as long as the longest."""
    texts = ["late"] * 20_000 + ["A letter that never ends" + "!" * 100_000]
    with pytest.raises(DataError, match=r"would take 4.0 GB.*2.0 GB are free. Shorten it: 'A letter that never ends!"):
        encode(texts)
    assert encode(texts[:-1]).shape == (20_000, 4)


@pytest.mark.usefixtures("little_memory")
# predict takes such pictures one by one anyway
@pytest.mark.parametrize(("run", "sizes"), [(tl.predict, []), (batched, [16, 8, 4, 2, 1])])
def test_a_network_that_would_see_too_much_takes_smaller_batches_and_then_refuses(caplog, run, sizes):
    model, images = tl.TransferModel("small_cnn", 2, pretrained=False, input_size=4500), stripes(4, 0).images
    with pytest.raises(MemoryError, match=r"4500×4500 pixels would take .* 3952 would fit"):
        run(model, images)
    assert backbone.LAYER * 3952**2 <= 2 * 10**9 < backbone.LAYER * 3953**2
    assert [record.args[0] for record in caplog.records] == sizes


@pytest.mark.usefixtures("little_memory")
def test_pictures_that_only_together_are_too_large_are_seen_without_a_try_in_vain(caplog):
    model, images = tl.TransferModel("small_cnn", 2, pretrained=False, input_size=1000), stripes(24, 0).images
    with pytest.raises(MemoryError, match="1000×1000"):
        model(images)
    assert tl.predict(model, images).shape == (24, 2)
    assert not caplog.records


def test_what_is_free_is_known_and_a_container_counts(monkeypatch):
    files = {
        "/proc/meminfo": "MemTotal: 100 kB\nMemAvailable: 90 kB\n",
        "/sys/fs/cgroup/memory.max": "51200\n",
        "/sys/fs/cgroup/memory.current": "40960\n",
        "/sys/fs/cgroup/memory.stat": "anon 5\ninactive_file 1024\n",
    }

    def read(path, *_):
        if str(path) in files:
            return files[str(path)]
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", read)
    assert room.free_memory() == 51200 - 40960 + 1024
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert room.free_memory() == 90 * 1024
    files.clear()
    assert room.free_memory() == sys.maxsize


def test_whoever_waits_is_told_what_for_and_how_far_it_is(monkeypatch, caplog):
    monkeypatch.setattr(waiting, "FIRST", 0.01)
    with caplog.at_level(logging.INFO, "transferlib"), waiting.waiting("reading images", 7) as count:
        count()
        count()
        until = time.monotonic() + 20  # a line from before both were done may have come first
        while not (told := [r for r in caplog.records if ": 2 of 7, " in r.message]) and time.monotonic() < until:
            time.sleep(0.01)
    assert told[0].message.startswith("reading images: 2 of 7, ")


def test_what_is_quick_is_not_told(caplog):
    with caplog.at_level(logging.INFO, "transferlib"), waiting.waiting("nothing"):
        pass
    assert not caplog.records


def test_a_long_run_tells_what_it_is_doing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(waiting, "FIRST", 1e-4)
    fill(tmp_path / "photos", ["a", "b"], each=30)
    assert main(["train", str(tmp_path / "photos"), *QUICK, "--out", str(tmp_path / "run")]) == 0
    err = capsys.readouterr().err
    for what in ("note: reading images: ", "note: epoch 1, batches: ", "note: drawing confusion.png, "):
        assert what in err
