"""A switch for the memory allocator of Linux."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Let this process keep large blocks of memory instead of returning them after each layer.

    The C library of Linux gives a large tensor's memory back as soon as it is freed and faults
    it in again, page by page, for the next one. Three calls of its `mallopt` (see `man 3
    mallopt`) stop that. They change the whole process, so the package never makes them by
    itself: the command line, the lessons and the benchmarks do. Returns whether the switch
    was made; elsewhere than on Linux with glibc nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    wanted = ((_M_MMAP_THRESHOLD, 1 << 30), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 1 << 28))
    return {libc.mallopt(name, value) for name, value in wanted} == {1}
