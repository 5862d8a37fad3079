"""Decode image files that nobody has vouched for."""

import hashlib
import io
import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from transferlib.errors import DataError

_KNOWN = json.loads(Path(__file__).with_name("formats.json").read_text("utf-8"))
# Names that promise an image. Some cannot be decoded: those are reported, not passed over in silence.
SUFFIXES = frozenset(f".{name}" for name in _KNOWN["names"])
MAX_PIXELS = 80_000_000
MAX_BYTES = 256 * 2**20
THUMB = 32
LEAST = 4 * THUMB  # JPEGs are not decoded with fewer pixels than this on a side


class Picture(NamedTuple):
    """pixels: uint8, (3, S, S). size: (width, height) in the file. mode: Pillow's name for the pixels in the file.

    turned: whether the file's EXIF entry says that its pixels do not lie upright; those here do. same: a digest of all
    pixels, upright and RGB, whatever the file's format, compression and metadata; of a JPEG of 256 pixels or more,
    which is not decoded at its full size, of the file less its metadata.
    """

    pixels: Tensor
    size: tuple[int, int]
    mode: str
    turned: bool
    same: str


def load_image(path: str | os.PathLike[str], image_size: int, *, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read one image file as uint8 of shape (3, image_size, image_size).

    The picture is turned upright (EXIF), made RGB (CMYK, grey, palette; 16 bits a channel scaled to 8;
    transparency on white), cut to its central square and resampled (bicubic, antialiased), which is the
    usual "shorter side to image_size, then centre crop". Of an animation or a multi-page file it is the
    first page. Colour profiles are not applied.

    Raises DataError, and nothing else, for whatever is not a whole JPEG, PNG, BMP, TIFF or WebP of at
    most `max_pixels` pixels (checked before decoding).
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
        with Image.open(io.BytesIO(data), formats=_KNOWN["read"]) as image:
            size, mode = image.size, image.mode
            if size[0] * size[1] > max_pixels:
                raise DataError(_too_large(name, f"{size[0]}×{size[1]} pixels", max_pixels))
            if image.format in ("JPEG", "MPO"):
                # libjpeg decodes at 1/2, 1/4 or 1/8; twice the target keeps the resampling honest.
                enough = max(2 * image_size, LEAST)
                image.draft(None, (enough, enough))
            image.load()
            pixels, turned, same = prepared(image, image_size, name=name)
            if image.format in ("JPEG", "MPO") and min(size) >= 2 * LEAST:
                same = hashlib.sha256(_without_metadata(data)).hexdigest()
    except DataError:
        raise
    except UnidentifiedImageError as error:
        remedy = "not JPEG, PNG, BMP, TIFF or WebP. Save it as one of these, or remove it."
        raise DataError(f"{name!r} is {_kind(data)}, {remedy}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(name, "far too many pixels", max_pixels)) from error
    except Exception as error:  # a hostile file can raise nearly anything inside a decoder
        why = str(error) or type(error).__name__
        raise DataError(f"{name!r} is damaged or cut short ({why}). {again}") from error
    return Picture(pixels, size, mode, turned, same)


def check_size(image_size: int) -> None:
    """Raise DataError for a side of less than a pixel."""
    if image_size < 1:
        raise DataError(f"image_size must be at least 1 pixel, not {image_size}.")


def prepared(image: Image.Image, image_size: int, *, name: str) -> tuple[Tensor, bool, str]:
    """A decoded picture as `load_image` gives it, whether its EXIF entry turned it, and a digest of all its pixels.

    Raises DataError.
    """
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
        image = ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block says nothing against the pixels, which are already loaded
        turned = False
    image = _rgb(image, name)
    same = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
    # The crop comes first, as a box: a picture of 1 × 10,000 would grow huge if it were resized whole.
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    square = image.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous(), turned, same


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


def _kind(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    start = data[:256].lstrip().lower().decode("latin-1")
    return next((kind for magic, kind in _KNOWN["others"].items() if start.startswith(magic)), "no image that we know")


def _rgb(image: Image.Image, name: str) -> Image.Image:
    if kind := {"I": "whole", "F": "floating-point"}.get(image.mode):
        remedy = "Save it with 8 or 16 bits."
        raise DataError(f"{name!r} has {kind} numbers of 32 bits, and nothing says which of them is white. {remedy}")
    if image.mode.startswith("I;16"):  # convert() would clip all above 255 to white
        wide = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")
