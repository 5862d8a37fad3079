import ctypes
import platform
from types import SimpleNamespace

import pytest

import transferlib as tl


def test_the_switch_is_made_on_glibc_and_nowhere_else():
    assert tl.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_the_switch_can_be_made_twice():
    assert tl.keep_freed_memory() == tl.keep_freed_memory()


@pytest.mark.parametrize(("answer", "made"), [(1, True), (0, False)])
def test_the_three_switches_of_malloc_are_turned_to_keep_large_blocks(monkeypatch, answer, made):
    asked = {}
    libc = SimpleNamespace(mallopt=lambda name, value: asked.update({name: value}) or answer)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert tl.keep_freed_memory() is made
    # malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD; man 3 mallopt
    assert asked == {-1: 2_147_483_647, -2: 268_435_456, -3: 1_073_741_824}


def test_elsewhere_than_with_glibc_nothing_is_asked_for(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("asked"))
    assert tl.keep_freed_memory() is False
