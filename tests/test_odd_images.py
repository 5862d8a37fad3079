"""Photographs of odd kinds: the right brightness, or one clear refusal, and the same answers from an exported model."""

from __future__ import annotations

import csv
import io
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import small_model
from odd_images import encoded, odd_images, png16, ramp, tiff16
from PIL import Image, features

import transferlib as tl
from transferlib.check.report import check_folder
from transferlib.cli import main
from transferlib.data.own import images
from transferlib.data.own.images import decode_image, load_image
from transferlib.errors import DataError

ODD = odd_images()
TOPS = {8: 255, 10: 1023, 12: 4095, 14: 16383, 16: 65535}


def row(data: bytes, side: int = 48) -> np.ndarray:
    """The red values of a row of the decoded picture."""
    return decode_image(data, side, name="x").pixels[0, side // 2].numpy()


@pytest.mark.parametrize("bits", TOPS)
def test_16_bit_grey_goes_from_black_to_white_however_many_bits_are_used(bits: int) -> None:
    wanted = np.linspace(0, 255, 48)
    for data in (encoded(Image.fromarray(ramp(TOPS[bits]))), tiff16(ramp(TOPS[bits])[..., None])):
        assert np.abs(row(data) - wanted).max() <= 1
        assert (f"{bits} bits" in decode_image(data, 48, name="x").remark) == (bits < 16)
    assert np.abs(row(tiff16(ramp(TOPS[bits])[..., None], 0)) - wanted[::-1]).max() <= 1


@pytest.mark.parametrize(("top", "white"), [(3000, 4095), (900, 1023), (200, 255), (40000, 65535), (20, 255)])
def test_a_picture_that_does_not_reach_white_keeps_its_brightness(top: int, white: int) -> None:
    assert row(encoded(Image.fromarray(ramp(top)))).max() == pytest.approx(255 * top / white, abs=1)


def test_black_in_16_bits_is_black_and_white_is_zero_where_the_file_says_so() -> None:
    nothing = np.zeros((9, 9, 1), np.uint16)
    assert row(tiff16(nothing), 9).max() == 0
    assert row(tiff16(nothing, 0), 9).min() == 255


def test_16_bits_a_colour_keep_their_colours_and_few_bits_of_them_are_refused() -> None:
    colours = np.dstack([ramp(), ramp()[::-1].T, 65535 - ramp()])
    for data in (png16(colours), tiff16(colours, 2)):
        assert np.abs(row(data) - np.linspace(0, 255, 48)).max() <= 1
    for bits in (8, 10, 12, 14):
        for data in (png16(colours >> (16 - bits)), tiff16(colours >> (16 - bits), 2)):
            with pytest.raises(DataError, match=r"'x'.*16 bits a colour.*Save it with 8 bits"):
                decode_image(data, 48, name="x")


def test_planes_of_16_bits_are_refused_instead_of_mixed_up() -> None:
    with pytest.raises(DataError, match=r"planes of 16 bits.*Save it"):
        decode_image(tiff16(np.dstack([ramp()] * 3), 2, planes=True), 48, name="x")


def test_a_transparent_grey_of_16_bits_lies_on_white() -> None:
    grey = ramp()
    data = png16(grey[..., None], int(grey[0, 3]).to_bytes(2, "big"))
    assert row(data)[3] == 255 and row(data)[4] < 30
    clear = np.dstack([grey, np.zeros_like(grey)])
    assert row(png16(clear)).min() == 255


@pytest.mark.parametrize("format", ["TIFF", "PNG", "WEBP"])
def test_of_several_pages_the_first_is_read_and_that_is_said(format: str) -> None:
    pages = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    found = decode_image(encoded(pages[0], format, save_all=True, append_images=pages[1:]), 8, name="x")
    assert found.pixels[0].min() > 200 and found.pixels[2].max() < 60
    assert "first page" in found.remark
    assert not decode_image(encoded(pages[0], format), 8, name="x").remark
    camera = encoded(pages[0], "MPO", save_all=True, append_images=pages[1:])
    assert not decode_image(camera, 8, name="x").remark


def test_what_cannot_be_seen_is_named_by_the_check_and_by_the_notes_of_a_loaded_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(8):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / label / f"{i}.png")
    Image.fromarray(rng.integers(0, 20, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "a" / "night.png")
    (tmp_path / "b" / "microscope.tif").write_bytes(tiff16(ramp(4095)[..., None]))
    (tmp_path / "b" / "stack.tif").write_bytes(ODD["stack.tif"])
    report = check_folder(tmp_path)
    assert {name: remark.split()[0] for name, remark in report.remarks.items()} == {
        "a/night.png": "nearly",
        "b/microscope.tif": "read",
        "b/stack.tif": "of",
    }
    assert all(name in str(report) for name in report.remarks)
    notes = " ".join(tl.load_data("folder", path=tmp_path, image_size=32).notes)
    assert "1 image nearly black: 'a/night.png'." in notes
    assert "12 bits" in notes and "first page" in notes
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        images_scored = tl.data.own.folder.labelled_split(tmp_path, ("a", "b"), image_size=32)
    assert len(images_scored) == 19
    assert any("nearly black" in str(warning.message) for warning in said)


def test_one_camera_read_in_several_bits_is_looked_at_first(tmp_path: Path) -> None:
    for i in range(24):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 700 if i % 2 else 3000, (40, 40))
        path.write_bytes(encoded(Image.fromarray(noise.astype(np.uint16))))
    Image.new("I;16", (40, 40), 300).save(tmp_path / "a" / "0.png")  # nearly black as well: another remark
    assert (
        "grey pictures are read as 10 bits, all that is used of 16 and read as 12 bits, all that is used of 16: if"
        in check_folder(tmp_path).verdict
    )
    for path in (tmp_path / "a").iterdir():
        path.write_bytes((tmp_path / "b" / f"{int(path.stem) + 1}.png").read_bytes())
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(path)
    assert "bits" not in check_folder(tmp_path).verdict


def test_masks_among_photographs_are_looked_at_first(tmp_path: Path) -> None:
    for i in range(12):
        for name in (f"x ({i}).png", f"x ({i})_mask.png", f"y{i}.png", f"gas mask {i}.png"):
            path = tmp_path / "ab"[i % 2] / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.random.default_rng(len(name) * 99 + i).integers(0, 256, (40, 40, 3), np.uint8)).save(
                path
            )
    assert "12 files named like the mask of another: 'a/x (0)_mask.png'; " in check_folder(tmp_path).verdict
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notes = tl.load_data("folder", path=tmp_path, image_size=8).notes
    assert any(note.startswith("12 images named like the mask of another") for note in notes)


@pytest.mark.parametrize("name", ["0", "0.png.part", "0.jpg_large", "0.JPEG_"])
def test_pictures_without_the_suffix_of_one_are_not_passed_over_in_silence(name: str, tmp_path: Path) -> None:
    for i in range(24):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(Image.fromarray(np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8))))
    (tmp_path / "a" / "labels.txt").write_text("a 0")
    assert "passed over" not in check_folder(tmp_path).verdict
    (tmp_path / "a" / name).write_bytes(encoded(Image.new("RGB", (9, 9)), "JPEG"))
    assert f"1 picture passed over, as the name is not that of one: 'a/{name}'" in check_folder(tmp_path).verdict


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_where_pillow_can() -> None:
    data = encoded(Image.fromarray((ramp() >> 8).astype(np.uint8)).convert("RGB"), "AVIF", quality=95)
    assert np.abs(row(data) - np.linspace(0, 255, 48)).max() <= 6
    with pytest.raises(DataError, match=r"damaged"):
        decode_image(data[:100], 48, name="x")


def test_heic_is_read_where_the_plug_in_is_installed() -> None:
    pytest.importorskip("pillow_heif")
    data = encoded(Image.fromarray((ramp() >> 8).astype(np.uint8)).convert("RGB"), "HEIF", quality=95)
    assert np.abs(row(data) - np.linspace(0, 255, 48)).max() <= 6


@pytest.mark.parametrize(("brand", "remedy"), [(b"heic", "pip install pillow-heif"), (b"avif", "pip install pillow-")])
def test_without_its_plug_in_the_error_says_what_to_install(
    brand: bytes, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "formats", lambda: images._KNOWN["read"])
    with pytest.raises(DataError, match=f"'x'.*{remedy}"):
        decode_image(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0", 8, name="x")
    with pytest.raises(DataError, match="video") as film:
        decode_image(b"\0\0\0\x18ftypisom\0\0\0\0", 8, name="x")
    assert "pip" not in str(film.value)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run, its ONNX file and card."""
    folder = tmp_path_factory.mktemp("exported")
    tl.save(small_model(seed=5), folder / "run", classes=("across", "down"), image_size=32)
    assert main(["export", str(folder / "run"), str(folder / "model.onnx")]) == 0
    return folder


@pytest.mark.parametrize("name", ODD)
def test_the_card_and_the_metadata_of_an_exported_model_answer_as_predict_does(
    name: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photo.jpg").write_bytes(ODD[name])
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(exported / "run"), "photo.jpg", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    wanted = [{row["class"]: row["probability"] for row in told["top"]}[label] for label in ("across", "down")]
    shutil.copy(exported / "model.onnx", tmp_path)
    scope: dict = {}
    exec((exported / "MODEL_CARD.md").read_text().split("```python\n")[1].split("```")[0], scope)
    assert scope["probabilities"].tolist() == pytest.approx(wanted, abs=1e-5)
    assert capsys.readouterr().out.startswith(told["class"])
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    exec("import numpy\nfrom PIL import Image, ImageOps\n" + facts["to_pixels"], scope := {})
    pixels = scope["to_pixels"](Image.open("photo.jpg"), json.loads(facts["preprocessing"])["image_size"])
    assert torch.equal(torch.from_numpy(pixels), load_image("photo.jpg", 32))


def test_what_predict_refuses_the_card_refuses_too(exported: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    shutil.copy(exported / "model.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    code = (exported / "MODEL_CARD.md").read_text().split("```python\n")[1].split("```")[0]
    for data in (
        encoded(Image.new("F", (8, 8)), "TIFF"),
        tiff16(np.dstack([ramp()] * 3), 2, planes=True),
        png16(np.dstack([ramp(4095)] * 3)),
    ):
        Path("photo.jpg").write_bytes(data)
        assert main(["predict", str(exported / "run"), "photo.jpg"]) == 1
        assert "Save it with 8" in capsys.readouterr().err
        with pytest.raises(ValueError, match="Save it with 8"):
            exec(code, {})


def test_predict_says_how_an_odd_file_was_read(exported: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "a.tif").write_bytes(tiff16(ramp(4095)[..., None]))
    (tmp_path / "b.png").write_bytes(ODD["colour16.png"])
    assert main(["predict", str(exported / "run"), str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert len(list(csv.reader(io.StringIO(out)))) == 3
    (line,) = err.splitlines()
    assert line.startswith("note: ") and "a.tif" in line and "12 bits" in line


def test_a_picture_of_a_data_set_is_left_as_it_was(tmp_path: Path) -> None:
    files = []
    for i, name in enumerate(("large.jpg", "stack.tif", "grey12in16.png") * 4):
        (tmp_path / f"{i}{name}").write_bytes(ODD[name])
        files.append((Image.open(tmp_path / f"{i}{name}"), i % 3 % 2))
    sizes = [(image.size, image.tell()) for image, _ in files]
    for _ in range(2):
        splits = tl.load_data("dataset", data=files, classes=["a", "b"], image_size=16, groups=lambda item: id(item[0]))
    assert [(image.size, image.tell()) for image, _ in files] == sizes
    assert len(splits.train) + len(splits.val) + len(splits.test) == 12
