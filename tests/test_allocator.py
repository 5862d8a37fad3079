import platform

import transferlib as tl


def test_the_switch_is_made_on_glibc_and_nowhere_else():
    assert tl.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_the_switch_can_be_made_twice():
    assert tl.keep_freed_memory() == tl.keep_freed_memory()
