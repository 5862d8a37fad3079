"""What in a tree of folders is a part, a class, the program's own work, or one picture; and that nothing is guessed."""

from __future__ import annotations

import json
import os
import shlex
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_model
from PIL import Image
from test_folder import copy, put, quietly, skipping, tree

import transferlib as tl
from transferlib.check.report import check_folder
from transferlib.cli import main
from transferlib.cli.data import load_splits
from transferlib.cli.parser import make_parser
from transferlib.cli.report import picture
from transferlib.data.builtin.originals import photograph
from transferlib.data.own.clean import likely_groups
from transferlib.data.own.folder import folder, labelled_split
from transferlib.data.own.names import alike
from transferlib.data.own.scan import ours, scan
from transferlib.data.splits import Splits
from transferlib.errors import DataError

NFC, NFD = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
QUICK = ["--strategy", "from-scratch", "--backbone", "small_cnn", "--image-size", "32", "--epochs", "1"]


def refusal(root: Path, **options: object) -> str:
    """The one reason for which loading and checking refuse a folder."""
    with pytest.raises(DataError) as caught:
        folder(root, image_size=8, on_bad="skip", **options)  # type: ignore[arg-type]
    report = check_folder(root, **options)  # type: ignore[arg-type]
    assert not report.ok
    assert str(report).splitlines()[-1] == f"not ready: {caught.value}"
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("Training", "Testing"), ["train", "test"]),
        (("training_set", "Validation_Set", "TEST_set"), ["train", "val", "test"]),
        (("01_train", "02_dev", "03_test"), ["train", "val", "test"]),
        (("train2017", "val2017"), ["train", "val"]),
        (("train-images", "eval"), ["train", "val"]),
        (("Train data", "held-out"), ["train", "test"]),
        (("\uff34\uff52\uff41\uff49\uff4e", "test"), ["train", "test"]),
    ],
)
def test_usual_spellings_of_the_parts_are_understood(tmp_path: Path, names: tuple[str, ...], parts: list[str]) -> None:
    splits = quietly(tree(tmp_path, 5, names))
    assert splits.classes == ("ant", "bee")
    assert list(scan(tmp_path, image_size=None).parts) == parts


def test_what_was_understood_is_said(tmp_path: Path) -> None:
    splits = quietly(tree(tmp_path, 5, ("Training", "Testing")))
    assert "The division is the folder's own, Training/ is train, Testing/ is test; val is cut from Training/." in (
        splits.notes
    )


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("2019", "2020"), ("Prueba", "Entrenamiento"), ("a", "b", "c")])
def test_folders_that_hold_the_same_folders_are_not_guessed_about(tmp_path: Path, names: tuple[str, ...]) -> None:
    tree(tmp_path, 3, names)
    assert "both hold a folder" in refusal(tmp_path)
    assert quietly(tmp_path, depth=1).classes == tuple(sorted(names))
    pooled = quietly(tmp_path, depth=2)
    assert pooled.classes == ("ant", "bee")
    assert sum(len(getattr(pooled, part)) for part in ("train", "val", "test")) == 6 * len(names)
    model = ("ant", "bee")
    with pytest.raises(DataError, match="both hold a folder"):
        labelled_split(tmp_path, model, image_size=8)
    with pytest.warns(UserWarning, match="flattered"):
        assert len(labelled_split(tmp_path, model, image_size=8, depth=2)) == 6 * len(names)


@pytest.mark.parametrize("form", ["{1}_{0}", "{0}-{1}", "{0} set {1}"])
def test_parts_said_in_the_names_of_the_classes_are_no_classes(form: str, tmp_path: Path) -> None:
    names = [form.format(part, label) for part in ("train", "test") for label in ("ant", "bee")]
    tree(tmp_path, 4, classes=names)
    assert "may be parts of one class" in refusal(tmp_path)
    assert len(quietly(tmp_path, depth=1).classes) == 4
    tree(tmp_path / "other", 4, classes=("blood", "blood test", "train", "station"))
    assert len(quietly(tmp_path / "other").classes) == 4


def test_one_folder_around_the_parts_is_proposed(tmp_path: Path) -> None:
    tree(tmp_path / "images", 4, ("train", "val"))
    (tmp_path / "labels" / "train").mkdir(parents=True)
    assert f"Perhaps you mean {str(tmp_path / 'images')!r}?" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["#recycle", "@Recycle", "LOST.DIR", "RECYCLER"])
def test_what_a_disk_keeps_of_deleted_photographs_is_no_class(name: str, tmp_path: Path) -> None:
    tree(tmp_path, 4)
    tree(tmp_path / name, 4)
    tree(tmp_path / "ant" / name, 1, classes=("x",))
    splits = quietly(tmp_path)
    assert splits.classes == ("ant", "bee") and sum(len(getattr(splits, p)) for p in ("train", "val", "test")) == 8


def test_a_class_that_was_dropped_into_its_neighbour_is_not_counted_for_it(tmp_path: Path) -> None:
    tree(tmp_path, 5)
    for i in range(3):
        put(tmp_path / "ant" / "Bee" / f"{i}.png")
    assert "'ant' holds a folder 'bee', and so is a class beside it called" in refusal(tmp_path)
    assert quietly(tmp_path, depth=1).classes == ("ant", "bee")
    (tmp_path / "ant" / "Bee").rename(tmp_path / "ant" / "ant")  # unpacked twice
    assert quietly(tmp_path).classes == ("ant", "bee")


def test_years_inside_the_parts_are_not_guessed_about_either(tmp_path: Path) -> None:
    for part in ("train", "test"):
        tree(tmp_path / part, 3, ("2019", "2020"))
    assert "both hold a folder" in refusal(tmp_path)
    assert quietly(tmp_path, depth=2).classes == ("ant", "bee")


def test_parts_inside_the_classes_are_not_pooled(tmp_path: Path) -> None:
    tree(tmp_path, 5, ("ant", "bee"), ("train", "test"))
    assert "'ant' holds test and train. Put the parts outside and the classes inside, 'test/ant' and so on." in refusal(
        tmp_path
    )
    assert quietly(tmp_path, depth=1).classes == ("ant", "bee")


@pytest.mark.parametrize("names", [("val", "test"), ("Testing",), ("dev", "holdout")])
def test_without_train_nothing_is_trained(tmp_path: Path, names: tuple[str, ...]) -> None:
    tree(tmp_path, 5, names)
    assert "but no train/. Perhaps you mean" in refusal(tmp_path)
    assert len(labelled_split(tmp_path, ("ant", "bee"), image_size=8)) == 10


def test_parts_without_classes_are_no_classes(tmp_path: Path) -> None:
    tree(tmp_path, 5, classes=("Train", "Test"))
    assert "may be parts, but hold no class folders" in refusal(tmp_path)
    assert quietly(tmp_path, depth=1).classes == ("Test", "Train")


def test_train_alone_beside_a_class_may_be_both(tmp_path: Path) -> None:
    tree(tmp_path, 5, classes=("bus",))
    tree(tmp_path / "train", 5, classes=("steam", "diesel"))
    assert "'train' may be the training part, or a class beside 'bus'" in refusal(tmp_path)
    assert quietly(tmp_path, depth=1).classes == ("bus", "train")


def test_folders_of_one_class_are_pooled_and_that_is_said(tmp_path: Path) -> None:
    tree(tmp_path, 5)
    tree(tmp_path / "ant", 3, classes=("winged",))
    assert any("counts for the class: 'ant'" in note for note in quietly(tmp_path).notes)


# What the program wrote


def own_work(root: Path) -> None:
    """A run, maps, a report, a killed run, an export and a cache, beside the classes and in them."""
    for place in (root, root / "ant"):
        with picture(place / "maps" / "1.cam.png") as axes:
            axes.plot([1, 2])
        with picture(place / "run" / "curves.png") as axes:
            axes.plot([1, 2])
        for name in ("run/model.json", "run/metrics.json", "findings/report.html", "findings/report.json"):
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text("{}")
        for name in ("killed/progress/progress.json", "out/MODEL_CARD.md", "cache/images-0123456789abcdef.bin"):
            (place / name).parent.mkdir(parents=True)
            (place / name).write_text("{}")
        with picture(place / "sheets" / "a.svg") as axes:
            axes.plot([1, 2])


def test_what_the_program_wrote_is_never_data(tmp_path: Path) -> None:
    before = quietly(tree(tmp_path))
    own_work(tmp_path)
    after = quietly(tmp_path)
    assert after.classes == before.classes
    assert all(torch.equal(getattr(after, part).images, getattr(before, part).images) for part in ("train", "test"))
    assert any("written by transferlib" in note for note in after.notes)
    own_work(tree(tmp_path / "in parts", 4, ("train", "test")))
    assert quietly(tmp_path / "in parts").classes == ("ant", "bee")


def test_a_class_beside_whose_photographs_the_program_wrote_is_still_a_class(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "ant" / "model.json").write_text("{}")
    (tmp_path / "ant" / "report.html").write_text("mine")
    assert quietly(tmp_path).classes == ("ant", "bee")


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf"])
def test_a_picture_that_the_program_drew_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    with picture(tmp_path / name) as axes:
        axes.plot([1, 2])
    put(tmp_path / "mine.png")
    assert ours((tmp_path / name).rename(tmp_path / f"renamed{Path(name).suffix}"))
    assert not ours(tmp_path / "mine.png") and not ours(tmp_path / "none.png")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tl.save(small_model(), tmp_path / "run", classes=("ant", "bee"), image_size=32)


@pytest.mark.parametrize("to", ["", " ", "{root}", "{root}/out", "{root}/ant/out", "{root}/ant/../out", "x" * 5000])
@pytest.mark.parametrize(
    "words",
    [
        ["train", "{root}", *QUICK, "--out"],
        ["train", "{root}", *QUICK, "--out", "elsewhere", "--cache"],
        ["data", "check", "{root}", "--report"],
        ["data", "sheet", "{root}", "--out"],
        ["predict", "{run}", "{root}", "--cam"],
    ],
)
def test_nothing_is_written_among_the_photographs_or_to_nowhere(
    words: list[str], to: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tree(tmp_path / "photos", 1)
    before = sorted(tmp_path.rglob("*"))
    assert main([word.format(root=root, run=run) for word in [*words, to]]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert any(said in err for said in ("Give a place outside", "is empty", "cannot be used"))
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["README.md", "metrics.json", "curves.png"])
def test_a_file_of_ones_own_is_never_replaced_by_a_run(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root, out = tree(tmp_path / "photos", 4), tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    assert main(["train", str(root), *QUICK, "--out", str(out)]) == 1
    assert f"already holds {name}" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text() == "mine"


def test_overwriting_a_run_leaves_what_is_not_of_a_run(tmp_path: Path) -> None:
    root, out = tree(tmp_path / "photos", 4), tmp_path / "out"
    (out / "progress").mkdir(parents=True)
    mine = [out / "progress" / "thesis.txt", out / "model-v1.safetensors", out / "README.txt"]
    for path in mine:
        path.write_text("mine")
    assert main(["train", str(root), *QUICK, "--out", str(out), "--overwrite"]) == 0
    assert {path.read_text() for path in mine} == {"mine"}


def test_sheets_reports_and_maps_replace_their_like_and_nothing_else(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root, photo = tree(tmp_path / "photos", 4), tmp_path / "photo.png"
    Image.new("RGB", (9, 9)).save(photo)
    before = photo.read_bytes()
    assert main(["data", "sheet", str(root), "--out", str(photo)]) == 1
    assert "no sheet of ours" in capsys.readouterr().err
    assert photo.read_bytes() == before
    (tmp_path / "report.json").write_text("mine")
    assert main(["data", "check", str(root), "--report", str(tmp_path)]) == 1
    assert "did not write" in capsys.readouterr().err
    assert (tmp_path / "report.json").read_text() == "mine"
    (tmp_path / "ant00.cam.png").write_text("mine")
    for _ in range(2):
        assert main(["data", "sheet", str(root), "--out", str(tmp_path / "sheet.pdf")]) == 0
        assert main(["data", "check", str(root), "--report", str(tmp_path / "findings")]) == 0
        assert main(["predict", str(run), str(root / "ant" / "ant00.jpg"), "--cam", str(tmp_path)]) == 0
    assert (tmp_path / "ant00.cam.png").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.glob("*.cam.png")) == ["ant00-2.cam.png", "ant00.cam.png"]


# Groups


def patients(root: Path, form: str, n: int = 8) -> Path:
    for patient in range(n):
        for i, letter in enumerate("abc"):
            name = form.format(p=patient, i=i, c=letter, n=3 * patient + i, who=chr(97 + patient) * 3)
            put(root / ("ant", "bee")[patient % 2] / name)
    return root


def parsed(*words: object) -> Splits:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_splits(make_parser().parse_args([str(word) for word in words]))


@pytest.mark.parametrize("words", [["train"], ["advise"], ["data", "sheet"]])
def test_groups_are_kept_together_by_every_command(words: list[str], tmp_path: Path) -> None:
    root = patients(tmp_path / "photos", "patient{p:02d}_{i}.png")
    more = ["--out", "x"] * (words != ["advise"])
    splits = parsed(*words, root, "--groups", r"patient(\d+)", "--image-size", 8, *more)
    for part in (splits.train, splits.val, splits.test):
        assert torch.unique(part.groups, return_counts=True)[1].tolist() == [3] * (len(part) // 3)
    assert "8 groups of related files, each kept on one side." in splits.notes


def test_groups_are_for_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["train", "digits", *QUICK, "--groups", "(x)", "--out", str(tmp_path / "run")]) == 1
    assert "'digits' takes no --groups" in capsys.readouterr().err


@pytest.mark.parametrize(
    "form",
    [
        *("patient{p:02d}_{i}.png", "{p}-{i}.jpg", "scan{p:03d}{c}.png", "person{p}_virus_{i}.png", "P {p} ({i}).png"),
        *("site1_patient{p}_{i}.png", "case.{p}.{i}.png", "patient{p}/{i}.png", "pat[{p}]_{i}.png", "Käfer{p}_{i}.png"),
        *("{n:04d}_patient{p:02d}.png", "{n}-p{p}-left.png", "IMG_{n} (patient {p}).png", "img{n}.P{p}.raw.png"),
        "{n:04d}_{who}.png",
    ],
)
def test_names_like_ids_are_noticed_and_the_command_given_keeps_them_together(form: str, tmp_path: Path) -> None:
    root = patients(tmp_path / "photos", form)
    with pytest.warns(UserWarning, match="look like ids"):
        folder(root, image_size=8)
    verdict = str(check_folder(root)).splitlines()[-1]
    assert verdict.startswith("ready, but look at this first")
    splits = parsed(*shlex.split(verdict[verdict.index("transferlib train") :])[1:])
    for part in (splits.train, splits.val, splits.test):
        assert torch.unique(part.groups, return_counts=True)[1].tolist() == [3] * (len(part) // 3)


@pytest.mark.parametrize(
    "form", ["{n}.png", "IMG_{n:04d}.png", "ant.{n}.png", "{h}.png", "n02085620_{n}.png", "f_{n:04d}_small.png"]
)
def test_other_names_are_not_taken_for_ids(form: str, tmp_path: Path) -> None:
    for n in range(24):
        put(tmp_path / ("ant", "bee")[n % 2] / form.format(n=n, h=f"{hash((n, 7)) % 2**64:016x}"))
    assert not likely_groups(scan(tmp_path, image_size=None).items)
    quietly(tmp_path)


@pytest.mark.parametrize("form", ["{1}_frame{0:02d}.png", "{0:04d}_small.png", "{1} ({0}).png", "{0:04d}_v2_raw.png"])
def test_numbers_that_begin_anew_in_each_class_are_no_ids(form: str, tmp_path: Path) -> None:
    for label in ("ant", "bee"):
        for i in range(12):
            put(tmp_path / label / form.format(i + 100 * ("frame" not in form) * (label == "bee"), label))
    assert not likely_groups(scan(tmp_path, image_size=None).items)


def test_a_division_that_keeps_the_ids_together_is_trusted(tmp_path: Path) -> None:
    for i, part in enumerate(("train", "val", "test")):
        for n in range(18):
            put(tmp_path / part / ("ant", "bee")[n % 2] / f"patient{10 * i + n // 3}_{n}.png")
    quietly(tmp_path)
    put(tmp_path / "test" / "ant" / "patient0_99.png")
    with pytest.warns(UserWarning, match="look like ids"):
        folder(tmp_path, image_size=8)


def test_check_says_that_the_division_is_still_to_come_and_gives_the_command_with_the_groups(tmp_path: Path) -> None:
    root = patients(tmp_path / "photos", "patient{p:02d}_{i}.png", 24)
    *_, told, verdict = str(check_folder(root, groups=r"patient(\d+)")).splitlines()
    assert "still to be drawn" in told
    assert verdict == f"ready: transferlib train {shlex.quote(str(root))} --groups 'patient(\\d+)' --out run"


# Classes that nothing would teach


def test_a_class_without_an_example_to_train_on_is_refused_in_every_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"digits: no example to train on of 7 of 10 classes"):
        tl.load_data("digits", 3, image_size=8)
    with pytest.raises(DataError, match=r"n_train=0"):
        tl.load_data("digits", 0, image_size=8)
    rows = [f"text {i} on {i % 2},{'ab'[i % 2]}" for i in range(24)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows, "alone,rare"]))
    for seed in range(4):
        try:
            splits = tl.load_data("texts", path=tmp_path / "t.csv", seed=seed)
        except DataError as error:
            assert "'rare'" in str(error)
        else:
            assert splits.classes.index("rare") in splits.train.labels


def test_training_without_a_validation_image_says_so() -> None:
    splits = tl.load_data("digits", 40, image_size=8, n_val=0)
    with pytest.raises(DataError, match="val is empty"):
        tl.fit(tl.TransferModel("small_cnn", 10, pretrained=False), splits, tl.from_scratch(1))


# What predict passes over


@pytest.mark.skipif(sys.platform == "win32", reason="links as on POSIX")
def test_predict_passes_over_what_training_would_and_says_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = tree(tmp_path / "photos", 2)
    own_work(root)
    for name in ("ant/._ant00.jpg", "ant/.hidden.jpg", "__MACOSX/a.jpg", "@eaDir/a.jpg", "bee/notes.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "linked").symlink_to(root / "ant", target_is_directory=True)
    assert main(["predict", str(run), str(root), "--json"]) == 0
    out, err = capsys.readouterr()
    assert [Path(item["file"]).name for item in json.loads(out)] == [
        f"{k}0{i}.jpg" for k in ("ant", "bee") for i in (0, 1)
    ]
    for said in ("(hidden): ", "'ant/._ant00.jpg'", "a link to a folder, not followed", "written by transferlib"):
        assert said in err
    assert all(line.startswith("note: ") for line in err.splitlines())


# Names


@pytest.mark.parametrize(
    ("one", "other", "points"),
    [(NFC, NFD, ("U+00E4", "U+0061 U+0308")), ("ant", "ant\u200b", ("U+200B",)), ("ant", "ant ", ("U+0020",))],
)
def test_class_folders_that_look_the_same_are_refused_with_their_code_points(
    tmp_path: Path, one: str, other: str, points: tuple[str, ...]
) -> None:
    tree(tmp_path, 4, classes=(one, other, "bee"))
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system does not tell them apart")
    told = refusal(tmp_path)
    assert all(point in told for point in points) and "look the same" in told


def test_one_name_in_two_normal_forms_is_one_class_across_parts_and_models(tmp_path: Path) -> None:
    tree(tmp_path, 4, ("train",), (NFC, "bee"))
    tree(tmp_path, 4, ("test",), (NFD, "bee"))
    assert quietly(tmp_path).classes == (NFC, "bee")
    for names in ((NFC, "bee"), (NFD, "bee")):
        assert labelled_split(tmp_path, names, image_size=8).labels.bincount().tolist() == [4, 4]


def test_names_that_differ_only_in_capitals_are_noted(tmp_path: Path) -> None:
    tree(tmp_path, 10, classes=("Cat", "cat"))
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system does not tell them apart")
    assert any("look alike: 'Cat'; 'cat'" in note for note in quietly(tmp_path).notes)
    assert check_folder(tmp_path).verdict == "ready, but look at this first: the classes 'Cat' and 'cat' look alike"


@pytest.mark.parametrize(
    "pair",
    [
        ("cat", "c\u0430t"),
        ("black bear", "black_bear"),
        ("Fish", "\ufb01sh"),
        ("1", "01"),
        ("2.0", "2"),
        ("a", "a - Copy"),
    ],
)
def test_names_that_read_alike_are_looked_at_first(pair: tuple[str, str], tmp_path: Path) -> None:
    tree(tmp_path, 10, classes=pair)
    assert "look alike" in check_folder(tmp_path).verdict
    assert not alike(["c+", "c-", "c", "c#", "grade 1", "grade 2", "ant", "ants", "10", "1.5", "0", "00x", "copy"])


# One picture in several files


def again(source: Path, target: Path, **options: object) -> Path:
    """The same pixels in another file."""
    with Image.open(source) as image:
        image.save(target, **options)
    return target


def test_the_same_pixels_are_one_picture_whatever_the_compression_and_the_format(tmp_path: Path) -> None:
    tree(tmp_path, 4)
    for file in sorted(tmp_path.glob("*/*")):
        first = again(file, file.with_suffix(".png"), compress_level=0)
        file.unlink()
        again(first, first.with_name(f"x{first.name}"), compress_level=9)
        again(first, first.with_suffix(".bmp"))
        again(first, first.with_suffix(".webp"), lossless=True)
    for seed in range(5):
        splits = quietly(tmp_path, seed=seed)
        assert any("8 groups of identical pictures" in note for note in splits.notes)
        for part in (splits.train, splits.val, splits.test):
            assert torch.unique(part.groups, return_counts=True)[1].tolist() == [4] * (len(part) // 4)
    again(tmp_path / "ant" / "ant00.png", tmp_path / "bee" / "other.tif")
    assert any(
        "2 different labels" in text or "two different labels" in text for text in check_folder(tmp_path).left_out
    )
    with pytest.raises(DataError, match="identical pictures with two different labels"):
        quietly(tmp_path)
    assert sum(len(getattr(skipping(tmp_path), part)) for part in ("train", "val", "test")) == 28


def test_a_large_jpeg_with_other_metadata_is_the_same_picture_at_every_size(tmp_path: Path) -> None:
    tree(tmp_path, 4)
    one = put(tmp_path / "ant" / "large.jpg", (600, 500))
    data = one.read_bytes()
    (tmp_path / "bee" / "said.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x07hello" + data[2:])
    copy(put(tmp_path / "bee" / "other.jpg", (600, 500)), tmp_path / "bee" / "other again.jpg")
    for size in (None, 8, 64, 300):
        items = {item.path.name: item.same for item in scan(tmp_path, image_size=size).items}
        assert items["large.jpg"] == items["said.jpg"] != items["other.jpg"] == items["other again.jpg"]
    assert check_folder(tmp_path).two_labels == [["ant/large.jpg", "bee/said.jpg"]]


def test_pictures_that_only_look_equal_when_small_are_two(tmp_path: Path) -> None:
    tree(tmp_path, 4)
    pixels = np.full((90, 90, 3), 128, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "ant" / "grey.png")
    pixels[40, 40] += 1
    Image.fromarray(pixels).save(tmp_path / "bee" / "nearly.png")
    assert not check_folder(tmp_path).copies


def test_near_copies_across_the_drawn_division_are_told_by_name(tmp_path: Path) -> None:
    tree(tmp_path, 10)
    for label, name in (("ant", "cat"), ("bee", "coffee"), ("ant", "rocket"), ("bee", "flower"), ("ant", "retina")):
        for quality in (95, 60, 30):
            photograph(name, True).save(tmp_path / label / f"{name} {quality}.jpg", quality=quality)
    notes = [note for seed in range(3) for note in folder(tmp_path, image_size=64, seed=seed).notes]
    told = [note for note in notes if "near copies on two sides" in note]
    assert told
    assert all(" ~ " in note and "(train)" in note for note in told)
    assert "near copies, which may fall on two sides of the division" in check_folder(tmp_path).verdict


def test_a_data_set_with_two_labels_on_equal_pixels_is_refused_and_copies_join_the_groups_told() -> None:
    draw = np.random.default_rng(0)
    images = [Image.fromarray(draw.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in range(24)]
    rows = [(image, i % 2) for i, image in enumerate(images)]
    with pytest.raises(DataError, match=r"train\[0\] and .*train\[24\] have the same pixels.*'a' and 'b'"):
        tl.load_data("dataset", data=[*rows, (images[0], 1)], classes="ab", image_size=8)
    more = [(image, label, n) for n, (image, label) in enumerate([*rows, *rows])]
    splits = tl.load_data("dataset", data=more, classes="ab", image_size=8, groups=lambda row: row[2])
    for part in (splits.train, splits.val, splits.test):
        assert set(torch.unique(part.groups, return_counts=True)[1].tolist()) == {2}


def test_the_verdict_of_a_folder_without_classes_says_what_to_do(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg")
    assert "1 file but no class folder" in refusal(tmp_path)
    assert os.fspath(tmp_path) in refusal(tmp_path)
