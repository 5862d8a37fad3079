"""What would take more memory than there is."""

import sys
from contextlib import suppress
from pathlib import Path

from transferlib.errors import DataError

FREELY = 1 << 30  # bytes that are taken without a look at what is free


def free_memory() -> int:
    """How many bytes this process can still have: of Linux, within the limit of its container; elsewhere no limit."""
    found = [sys.maxsize]
    with suppress(OSError, ValueError, KeyError):  # another system
        facts = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(facts["MemAvailable"].split()[0]) * 1024)
    with suppress(OSError, ValueError, KeyError):  # no container, or one without limit ("max")
        limit, used, stat = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current", "stat"))
        files = int(dict(line.split() for line in stat.splitlines())["inactive_file"])  # given back when asked for
        found.append(int(limit) - int(used) + files)
    return max(min(found), 0)


def lacking(needed: int) -> str:
    """That so many bytes do not fit into memory; "" if they do."""
    if needed <= FREELY or needed <= (free := free_memory()):
        return ""
    return f"would take {needed / 1e9:,.1f} GB of memory, and {free / 1e9:.1f} GB are free"


def no_room(side: int, bytes_a_pixel: int) -> str:
    """Why squares of this side, in pixels, do not fit into memory, and the side that would; "" if they do."""
    why = lacking(bytes_a_pixel * side**2)
    return why and f"{why}: {int((free_memory() / bytes_a_pixel) ** 0.5)} would fit"


def check_room(image_size: int, images: int, network: int = 500) -> None:
    """Raise DataError where so many images do not fit, before anything is allocated.

    network: bytes a pixel that the largest network here takes to learn from one image; 0 where none follows.
    """
    # an image is kept, copied when the splits are made, and takes four bytes a pixel while it is resized
    told = "an image" if images == 1 else f"{images:,} images"
    if why := no_room(image_size, 6 * images + 12 + network):
        raise DataError(f"image_size={image_size} is too large: {told} of that side {why}.")
