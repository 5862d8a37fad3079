from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from transferlib.data.own.images import SUFFIXES, decode_image, load_image
from transferlib.errors import DataError

WHOLE = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")


def noise(width: int = 40, height: int = 40, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def saved(folder: Path, name: str, image: Image.Image, **options: Any) -> Path:
    image.save(folder / name, **options)
    return folder / name


def png(size: tuple[int, int], bits: int, kind: int, rows: bytes) -> bytes:
    """A PNG put together by hand, for what Pillow cannot write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def refused(path: Path, *words: str) -> None:
    with pytest.raises(DataError) as caught:
        load_image(path, 16)
    message = str(caught.value)
    assert repr(str(path)) in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_lossless_square_of_the_right_size_comes_back_to_the_bit(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name == "a.webp" else {}
    picture = load_image(saved(tmp_path, name, Image.fromarray(noise()), **options), 40)
    assert picture.dtype == torch.uint8
    assert picture.shape == (3, 40, 40)
    assert picture.is_contiguous()
    assert torch.equal(picture, torch.from_numpy(noise()).permute(2, 0, 1))


@pytest.mark.parametrize("size", [(30, 90), (90, 30), (31, 47), (7, 5), (1, 1), (1, 3000), (640, 480)])
def test_any_shape_becomes_a_square(tmp_path: Path, size: tuple[int, int]) -> None:
    assert load_image(saved(tmp_path, "a.jpg", Image.fromarray(noise(*size))), 32).shape == (3, 32, 32)


def test_the_square_is_cut_from_the_middle(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (10, 200, 30)
    picture = load_image(saved(tmp_path, "a.png", Image.fromarray(wide)), 20)
    assert (picture == torch.tensor([10, 200, 30], dtype=torch.uint8).view(3, 1, 1)).all()


def test_shrinking_averages_instead_of_picking_pixels(tmp_path: Path) -> None:
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    for name in ("a.png", "a.jpg"):
        picture = load_image(saved(tmp_path, name, Image.fromarray(board)), 16).float()
        assert abs(picture.mean() - 127.5) < 3
        assert picture.std() < 10


def test_jpeg_draft_stays_close_to_the_full_decoding(tmp_path: Path) -> None:
    smooth = Image.fromarray(noise(12, 9)).resize((1200, 900), Image.Resampling.BICUBIC)
    jpeg = load_image(saved(tmp_path, "a.jpg", smooth, quality=95, subsampling=0), 64).float()
    png = load_image(saved(tmp_path, "a.png", Image.open(tmp_path / "a.jpg").convert("RGB")), 64).float()
    assert (jpeg - png).abs().mean() < 1


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    upright = np.zeros((40, 40, 3), np.uint8)
    upright[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the file must be turned 90° clockwise
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        picture = load_image(saved(tmp_path, name, stored, exif=exif), 40).float()
        assert picture[:, :18].mean() > 240, name
        assert picture[:, 22:].mean() < 15, name


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", Image.fromarray(noise()), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff")
    assert load_image(path, 16).shape == (3, 16, 16)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_usual_pixel_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    names = {"CMYK": "a.jpg", "YCbCr": "a.jpg"}
    grey = Image.fromarray(np.full((20, 20, 3), 255, np.uint8))
    image = Image.new("I;16", (20, 20), 65535) if mode == "I;16" else grey.convert(mode)
    path = (
        saved(tmp_path, names.get(mode, "a.png"), image)
        if mode != "PA"
        else saved(tmp_path, "a.png", image.convert("P"))
    )
    assert load_image(path, 20).float().mean() > 250


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (32, 32), (220, 30, 40))
    picture = load_image(saved(tmp_path, "a.jpg", red.convert("CMYK"), quality=95), 16).float()
    assert (picture.mean((1, 2)) - torch.tensor([220.0, 30.0, 40.0])).abs().max() < 6


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    image = Image.fromarray(np.tile(ramp, (256, 1)))
    for name in ("a.png", "a.tif"):
        picture = load_image(saved(tmp_path, name, image), 256)
        assert torch.equal(picture[0, 0], torch.arange(256, dtype=torch.uint8)), name
        assert torch.equal(picture[0], picture[2])


def test_16_bit_colour_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    row = b"\0" + struct.pack(">3H", 0x1234, 0x8000, 0xFFFF) * 4
    (tmp_path / "a.png").write_bytes(png((4, 4), 16, 2, row * 4))
    picture = load_image(tmp_path / "a.png", 4)
    assert (picture.view(3, -1).float() - torch.tensor([[0x12], [0x80], [0xFF]])).abs().max() <= 1


def test_numbers_of_32_bits_are_refused_because_nothing_says_which_is_white(tmp_path: Path) -> None:
    for mode in ("I", "F"):
        refused(saved(tmp_path, f"{mode}.tif", Image.new(mode, (8, 8), 3)), "32 bits", "8 or 16 bits")


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert (load_image(saved(tmp_path, "clear.png", clear), 8) == 255).all()
    assert (load_image(saved(tmp_path, "half.png", half), 8).float() - 127).abs().max() <= 1
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([200, 0, 0, 0, 0, 200])
    assert (load_image(saved(tmp_path, "palette.png", palette, transparency=0), 8) == 255).all()
    assert (load_image(saved(tmp_path, "key.png", Image.new("L", (8, 8), 7), transparency=7), 8) == 255).all()


def test_camera_file_with_two_pictures_gives_the_first(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (512, 512), colour) for colour in ("red", "blue"))
    path = saved(tmp_path, "a.jpg", first, format="MPO", save_all=True, append_images=[second])
    assert Image.open(path).format == "MPO"
    assert (load_image(path, 16).float().mean((1, 2)) - torch.tensor([254.0, 0.0, 0.0])).abs().max() < 3


@pytest.mark.parametrize("format", WHOLE)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_file_is_refused(tmp_path: Path, format: str, share: float) -> None:
    data = encoded(Image.fromarray(noise(200, 200)), format)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data[: int(share * len(data))])
    refused(path)


def test_truncated_jpeg_says_so(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(noise(200, 200)), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "a.jpg", "damaged or cut short", "download it again")


@pytest.mark.parametrize("thumbnail", [False, True])
def test_jpeg_whose_end_is_zeros_is_no_picture(tmp_path: Path, thumbnail: bool) -> None:
    """As a download or a recovery leaves it that stopped half-way: Pillow paints the rest grey."""
    inside = {"exif": b"Exif\0\0" + encoded(Image.fromarray(noise(9, 9)), "JPEG")} if thumbnail else {}  # it has an end
    for side in (200, 300):
        data = encoded(Image.fromarray(noise(side, side)), "JPEG", **inside)
        (tmp_path / "a.jpg").write_bytes(data)
        load_image(tmp_path / "a.jpg", 32)
        (tmp_path / "a.jpg").write_bytes(data + b"\xff\xda a film behind the photograph")
        load_image(tmp_path / "a.jpg", 32)
        half = len(data) * 2 // 3
        (tmp_path / "a.jpg").write_bytes(data[:half] + bytes(len(data) - half))
        refused(tmp_path / "a.jpg", "damaged or cut short", "download it again")


def test_a_pillow_told_to_accept_truncated_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "a.png", Image.fromarray(noise()))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DataError, match="LOAD_TRUNCATED_IMAGES"):
        load_image(path, 16)


def test_gif_is_refused_whatever_its_name(tmp_path: Path) -> None:
    for name in ("a.gif", "a.jpg"):
        refused(saved(tmp_path, name, Image.fromarray(noise()), format="GIF"), "GIF", "JPEG, PNG", "remove")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\n<!doctype html><html>404", "web page"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"P5\n40 40\n65535\n", "PGM"),
        (b"hello", "no image"),
        (b"P6 1 1 255 abc", "no image"),
    ],
)
def test_other_files_named_like_photographs_are_refused_by_what_they_are(
    tmp_path: Path, data: bytes, word: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    refused(tmp_path / "a.jpg", word)


def test_zero_bytes_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    refused(tmp_path / "a.jpg", "empty", "0 bytes")
    refused(tmp_path / "b.jpg", "cannot be read")
    refused(tmp_path, "not a file")
    with pytest.raises(DataError, match="cannot be read"):
        load_image("a\0b.jpg", 16)


@pytest.mark.skipif(os.name == "nt", reason="links and pipes as on POSIX")
def test_links_in_a_loop_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    refused(tmp_path / "a.jpg", "cannot be read")
    os.mkfifo(tmp_path / "c.jpg")
    refused(tmp_path / "c.jpg", "not a file")


@pytest.mark.skipif(os.name == "nt", reason="permissions as on POSIX")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.png", Image.fromarray(noise()))
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root may read anything: be somebody else for a moment
        os.seteuid(65534)
    try:
        refused(path, "cannot be read", "Permission denied")
    finally:
        os.seteuid(user)


def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*args: object, **options: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", explode)
    path = saved(tmp_path, "a.png", Image.new("1", (9000, 9000)))
    assert path.stat().st_size < 20_000
    refused(path, "9000×9000", "80 million", "bomb")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_monstrous_decompression_bomb_is_refused(tmp_path: Path) -> None:
    for side in (10_000, 60_000):  # Pillow itself warns at the first and refuses the second
        (tmp_path / "a.png").write_bytes(png((side, side), 1, 0, b""))
        refused(tmp_path / "a.png", "million allowed")


def test_the_limit_can_be_set(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.png", Image.fromarray(noise(20, 20)))
    assert load_image(path, 8, max_pixels=400).shape == (3, 8, 8)
    with pytest.raises(DataError, match="20×20"):
        load_image(path, 8, max_pixels=399)


def test_image_size_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="image_size"):
        load_image(saved(tmp_path, "a.png", Image.fromarray(noise())), 0)


@pytest.mark.parametrize("name", ["ünï-çödé 图.png", "two\nlines.png", "\x1b[31mred.png"])
def test_odd_names_are_read_and_shown_safely(tmp_path: Path, name: str) -> None:
    try:
        path = saved(tmp_path, name, Image.fromarray(noise()))
    except OSError:
        pytest.skip("this file system does not take such a name")
    assert load_image(path, 16).shape == (3, 16, 16)
    path.write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        load_image(path, 16)
    assert str(caught.value).isprintable()


def test_all_suffixes_are_lower_case_and_hold_the_allowed_formats() -> None:
    assert {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"} <= SUFFIXES
    assert all(suffix == suffix.lower() for suffix in SUFFIXES)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own, on metadata
@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF"])
)
def test_random_bytes_raise_nothing_but_data_error(data: bytes, start: bytes) -> None:
    try:
        picture = decode_image(start + data, 8, name="random")
    except DataError:
        return
    assert picture.pixels.shape == (3, 8, 8)


EXIF = Image.Exif()
EXIF[0x0112] = 3
VALID = {
    format: encoded(Image.fromarray(noise(24, 16)), format, **({} if format == "BMP" else {"exif": EXIF}))
    for format in WHOLE
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own, on metadata
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
def test_corrupted_files_raise_nothing_but_data_error(
    format: str, changes: list[tuple[float, int]], end: float
) -> None:
    data = bytearray(VALID[format])
    for where, value in changes:
        data[int(where * len(data))] = value
    if end < 0.5:
        data = data[: int(2 * end * len(data))]
    try:
        picture = decode_image(bytes(data), 8, name="corrupted")
    except DataError as error:
        assert "'corrupted'" in str(error)
        return
    assert picture.pixels.shape == (3, 8, 8)
