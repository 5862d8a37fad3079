"""From an opened picture to what a network takes, with Pillow and NumPy alone.

The card of an exported model carries these functions word for word: whoever runs the file elsewhere gets the answers
that this package gives.
"""

import numpy
from PIL import Image, ImageOps


def used_bits(image: Image.Image) -> int:
    """How many of 16 bits are used: as the file declares, or the fewest that hold its largest number."""
    declared = getattr(image, "tag_v2", {}).get(258, (16,))[0]
    largest = int(numpy.asarray(image).max())
    return int(declared) if declared < 16 else next(n for n in (8, 10, 12, 14, 16) if largest < 1 << n)


def to_rgb(image: Image.Image, size: int) -> Image.Image:
    """Upright, on white, RGB; a large JPEG smaller than it is. ValueError where white is not known."""
    tags, deep = getattr(image, "tag_v2", {}), ";16" in str(getattr(image, "tile", ""))
    enough = max(2 * size, 128)  # libjpeg decodes at 1/2, 1/4 or 1/8; 128: copies are told apart
    image.draft(None, (enough, enough))
    image.load()
    if tags.get(284) == 2 and max(tags.get(258, (8,))) > 8:
        raise ValueError("planes of 16 bits, which Pillow mixes up. Save it with 8 bits")
    if image.mode in ("I", "F"):
        raise ValueError("numbers of 32 bits, and nothing says which of them is white. Save it with 8 or 16 bits")
    bands, clear = image.getbands(), image.info.get("transparency")
    dark = deep and bands[0] != "I" and all(numpy.asarray(image.getchannel(b)).max() < 64 for b in bands if b != "A")
    if dark:
        raise ValueError("16 bits a colour, all of them dark: perhaps fewer bits are used. Save it with 8 bits")
    if deep and isinstance(clear, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    try:
        upright = ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block says nothing against the pixels
        upright = image
    if image.mode.startswith("I;16"):
        white, grey = (1 << used_bits(image)) - 1, numpy.asarray(upright).astype(numpy.uint32)
        bright = (grey * 255 + white // 2) // white
        bright = 255 - bright if tags.get(262) == 0 else bright
        upright = Image.fromarray(numpy.where(grey == clear, 255, bright).astype(numpy.uint8))
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("RGB")


def square(upright: Image.Image, size: int) -> numpy.ndarray:
    """The central square, uint8, (3, size, size)."""
    # The crop comes first, as a box: a picture of 1 × 10,000 would grow huge if it were resized whole.
    side = min(upright.size)
    left, top = (upright.width - side) / 2, (upright.height - side) / 2
    box = (left, top, left + side, top + side)
    resized = upright.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return numpy.asarray(resized).transpose(2, 0, 1).copy()


def to_pixels(image: Image.Image, size: int) -> numpy.ndarray:
    """What a network takes of an opened picture: uint8, (3, size, size)."""
    return square(to_rgb(image, size), size)
