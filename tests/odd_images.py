"""Pictures as people have them, encoded in memory; what Pillow cannot write is put together by hand."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

SIDE = 48


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def ramp(top: int = 65535, side: int = SIDE) -> np.ndarray:
    """Grey from 0 on the left to `top` on the right, in 16 bits."""
    return np.tile(np.linspace(0, top, side).round().astype(np.uint16), (side, 1))


def png16(pixels: np.ndarray, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel from (H, W, C): grey, grey with alpha, colour, or colour with alpha."""
    height, width, channels = pixels.shape

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    extra = chunk(b"tRNS", transparent) if transparent else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def tiff16(pixels: np.ndarray, photometric: int = 1, *, planes: bool = False) -> bytes:
    """A little-endian TIFF of 16 bits a channel from (H, W, C). photometric: 0 white is zero, 1 black is, 2 colour."""
    height, width, channels = pixels.shape
    strips = [pixels[..., i] for i in range(channels)] if planes else [pixels]
    parts = [strip.astype("<u2").tobytes() for strip in strips]
    start = 8 + 2 + 12 * 10 + 4
    body = b""

    def entry(tag: int, kind: str, *values: int) -> bytes:
        nonlocal body
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            packed, body = struct.pack("<I", start + len(body)), body + packed
        return struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(values)) + packed.ljust(4, b"\0")

    offsets = [start + sum(map(len, parts[:i])) for i in range(len(parts))]
    body = b"".join(parts)
    sizes = [len(part) for part in parts]
    tags = [(256, "I", width), (257, "I", height), (258, "H", *[16] * channels), (259, "H", 1), (262, "H", photometric)]
    tags += [(273, "I", *offsets), (277, "H", channels), (278, "I", height), (279, "I", *sizes)]
    tags += [(284, "H", 2 if planes else 1)]
    entries = b"".join(entry(*tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4 + body


def odd_images() -> dict[str, bytes]:
    """One picture of each kind that other programs answer differently, by a name with its suffix."""
    rng = np.random.default_rng(7)
    small = rng.integers(0, 256, (7, 6, 3), dtype=np.uint8)
    photo = Image.fromarray(small).resize((90, 70), Image.Resampling.BICUBIC)
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 90).astype(np.uint8), (70, 1)))
    clear = photo.copy()
    clear.putalpha(alpha)
    grey = photo.convert("L")
    grey.putalpha(alpha)
    wide = np.asarray(photo.convert("L")).astype(np.uint16)
    palette = photo.quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.asarray(photo).astype(np.uint16) * 257
    return {
        "grey16.png": encoded(Image.fromarray(wide * 257)),
        "grey12in16.png": encoded(Image.fromarray(wide * 16)),
        "grey8in16.tif": tiff16(wide[..., None]),
        "min-is-white16.tif": tiff16(wide[..., None] * 257, 0),
        "colour16.png": png16(deep),
        "colour16.tif": tiff16(deep, 2),
        "grey16-with-alpha.png": png16(np.dstack([wide, np.asarray(alpha)]).astype(np.uint16) * 257),
        "grey16-with-key.png": png16(wide[..., None] * 257, struct.pack(">H", int(wide[3, 3]) * 257)),
        "transparent.png": encoded(clear),
        "transparent.webp": encoded(clear, "WEBP", lossless=True),
        "grey-with-alpha.png": encoded(grey),
        "palette.png": encoded(palette),
        "palette-with-transparency.png": encoded(palette, transparency=bytes(range(0, 256, 16))),
        "key.png": encoded(photo, transparency=photo.getpixel((5, 5))),
        "bilevel.png": encoded(photo.convert("1")),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG", quality=95),
        "rotated.jpg": encoded(photo, "JPEG", quality=95, exif=exif),
        "rotated16.png": encoded(Image.fromarray(wide * 257), exif=exif),
        "large.jpg": encoded(photo.resize((900, 700), Image.Resampling.BICUBIC), "JPEG"),
        "stack.tif": encoded(photo, "TIFF", save_all=True, append_images=[photo.rotate(90)]),
        "one.png": encoded(Image.new("RGB", (1, 1), (200, 30, 60))),
        "one16.png": encoded(Image.fromarray(np.full((1, 1), 700, np.uint16))),
        "line.png": encoded(photo.resize((1, 400))),
    }
