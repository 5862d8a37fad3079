"""Decode image files that nobody has vouched for."""

import hashlib
import io
import json
import os
import stat
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from transferlib.data.own.pixels import square, to_rgb, used_bits
from transferlib.errors import DataError
from transferlib.files.room import check_room

_KNOWN = json.loads(Path(__file__).with_name("formats.json").read_text("utf-8"))
# Names that promise an image. Some cannot be decoded: those are reported, not passed over in silence.
SUFFIXES = frozenset(f".{name}" for name in _KNOWN["names"])
MAX_PIXELS = 80_000_000
MAX_BYTES = 256 * 2**20
THUMB = 32
LEAST = 128  # `to_rgb` does not decode JPEGs with fewer pixels than this on a side
DARK = 32  # of 255: what has nothing brighter is nearly black


class Picture(NamedTuple):
    """pixels: uint8, (3, S, S). size: (width, height) in the file. mode: Pillow's name for the pixels in the file.

    turned: whether the file's EXIF entry says that its pixels do not lie upright; those here do. same: a digest of all
    pixels, upright and RGB, whatever the file's format, compression and metadata; of a JPEG of 256 pixels or more,
    which is not decoded at its full size, of the file less its metadata. remark: what one should know of how it was
    read, or "".
    """

    pixels: Tensor
    size: tuple[int, int]
    mode: str
    turned: bool
    same: str
    remark: str


def load_image(path: str | os.PathLike[str], image_size: int, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read one image file as uint8 of shape (3, image_size, image_size).

    The picture is turned upright (EXIF), made RGB (CMYK, grey, palette; transparency on white; 16 bits to 8, by the
    largest number of 8, 10, 12, 14 or 16 bits where fewer are used), cut to its central square and resampled (bicubic,
    antialiased), which is the usual "shorter side to image_size, then centre crop". Of an animation or a multi-page
    file it is the first page. Colour profiles are not applied.

    Raises DataError, and nothing else, for whatever is not a whole JPEG, PNG, BMP, TIFF or WebP of at most
    `max_pixels` pixels (checked before decoding), or AVIF or HEIC where Pillow or its plug-in pillow-heif reads them.
    """
    return decode_image(read(path), image_size, name=os.fspath(path), max_pixels=max_pixels).pixels


def read(path: str | os.PathLike[str], *, name: str | None = None) -> bytes:
    """The bytes of a regular file of at most 256 MiB; DataError otherwise. `name` is what messages call it."""
    name, path = name if name is not None else os.fspath(path), Path(path)
    try:
        found = path.stat()
        regular = stat.S_ISREG(found.st_mode)  # opening a pipe or a device could block or never end
        if regular and found.st_size <= MAX_BYTES:
            return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{name!r} cannot be read ({why}). Check that it exists and that you may read it.") from error
    if not regular:
        raise DataError(f"{name!r} is not a file. Give the path of an image file.")
    size = f"{found.st_size / 2**20:.0f} MiB, more than the {MAX_BYTES >> 20} MiB allowed"
    raise DataError(f"{name!r} has {size}. Save a smaller copy.")


def decode_image(data: bytes, image_size: int, *, name: str, max_pixels: int = MAX_PIXELS) -> Picture:
    """As `load_image`, for the content of a file; `name` is what messages call it."""
    check_size(image_size)
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        told = "Pillow has been told to accept damaged files (ImageFile.LOAD_TRUNCATED_IMAGES is True)"
        raise DataError(f"{told}, so half a picture would pass for a whole one. Set it to False.")
    again = "Copy or download it again, or remove it."
    if not data:
        raise DataError(f"{name!r} is empty (0 bytes). {again}")
    try:
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            size, mode = image.size, image.mode
            if size[0] * size[1] > max_pixels:
                raise DataError(_too_large(name, f"{size[0]}×{size[1]} pixels", max_pixels))
            jpeg, bare = image.format in ("JPEG", "MPO"), b""
            upright, pixels = prepared(image, image_size, name=name)
            turned, remark = _turned(image), _remark(image, pixels)
            if jpeg and b"\xff\xd9" not in (bare := _without_metadata(data)):  # libjpeg takes zeros for pixels
                raise OSError("its end is missing")
            same = hashlib.sha256(bare).hexdigest() if jpeg and min(size) >= 2 * LEAST else digest(upright)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        kind, install = _kind(data)
        remedy = f"Save it as JPEG, PNG, BMP, TIFF or WebP, {install}or remove it."
        raise DataError(f"{name!r} is {kind}. {remedy}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(name, "far too many pixels", max_pixels)) from error
    except Exception as error:  # a hostile file can raise nearly anything inside a decoder
        why = str(error) or type(error).__name__
        raise DataError(f"{name!r} is damaged or cut short ({why}). {again}") from error
    return Picture(pixels, size, mode, turned, same, remark)


def check_size(image_size: int) -> None:
    """Raise DataError for a side of less than a pixel, or one at which not even one image fits into memory."""
    if image_size < 1:
        raise DataError(f"image_size must be at least 1 pixel, not {image_size}.")
    check_room(image_size, 1, network=0)


def prepared(image: Image.Image, image_size: int, *, name: str) -> tuple[Image.Image, Tensor]:
    """An opened picture upright and RGB, and its central square as `load_image` gives it. Raises DataError."""
    try:
        upright = to_rgb(image, image_size)
    except ValueError as error:
        if getattr(image, "tile", []):  # what the decoder did not finish is damaged
            raise
        raise DataError(f"{name!r} cannot be used: {error}.") from error
    return upright, torch.from_numpy(square(upright, image_size))


def digest(upright: Image.Image) -> str:
    """Of all pixels of an upright RGB picture: the same for two files that show the same."""
    return hashlib.sha256(f"{upright.size}".encode() + upright.tobytes()).hexdigest()


def _turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    except Exception:  # a damaged EXIF block says nothing against the pixels, which are already loaded
        return False


def _remark(image: Image.Image, pixels: Tensor) -> str:
    remarks = []
    if image.mode.startswith("I;16") and (bits := used_bits(image)) < 16:
        remarks.append(f"read as {bits} bits, all that is used of 16")
    with suppress(Exception):  # EOFError, and whatever a damaged page raises: the first one is already read
        image.seek(1)
        remarks += ["of which only the first page is read"] * (image.format != "MPO")  # a camera's second is a preview
    remarks += ["nearly black"] * bool(pixels.max() < DARK)
    return "; ".join(remarks)


def thumbnail(pixels: Tensor) -> NDArray[np.uint8]:
    """Pixels of shape (3, S, S) as a grey thumbnail: uint8 (32, 32), each the mean of a block."""
    color = adaptive_avg_pool2d(pixels.float(), THUMB).numpy()
    grey = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), color, 1)  # luma, ITU-R BT.601
    return np.asarray(np.rint(grey), np.uint8)


def _without_metadata(data: bytes) -> bytes:
    """A JPEG without its comments and what applications add (APP0 to APP13, APP15): what its pixels come from."""
    kept, at = [], 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"", b"\xda"):  # up to the start of the scan
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        kept += [data[at:end]] * (data[at + 1] not in {*range(0xE0, 0xEE), 0xEF, 0xFE})
        at = end
    return b"".join((*kept, data[at:]))


def _too_large(name: str, found: str, limit: int) -> str:
    remedy = "Save a smaller copy, or remove it."
    return f"{name!r} has {found}, more than the {limit / 1e6:g} million allowed (a decompression bomb?). {remedy}"


@cache
def formats() -> list[str]:
    """What is decoded, in Pillow's words: HEIF and AVIF too, where a Pillow or a plug-in is installed that can."""
    for plug_in in ("PIL.AvifImagePlugin", "pillow_avif", "pillow_heif.HeifImagePlugin"):
        with suppress(ImportError):
            import_module(plug_in)
    return [*_KNOWN["read"], *(name for name in ("AVIF", "HEIF") if name in Image.OPEN)]


def _kind(data: bytes) -> tuple[str, str]:
    """What a file is that is not decoded, and what to install to change that, if anything."""
    start = data[:256].lstrip().lower().decode("latin-1")
    if data[4:8] != b"ftyp":
        return next((kind for magic, kind in _KNOWN["others"].items() if start.startswith(magic)), "no image"), ""
    kind, form, plug_in = _KNOWN["brands"].get(data[8:12].decode("latin-1"), ("video", "", ""))
    if form in formats():
        return f"a damaged {kind} file", ""
    return f"a {kind} file", f"let it be read (pip install {plug_in}), " if plug_in else ""
