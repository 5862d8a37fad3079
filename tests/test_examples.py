"""The examples in the docstrings, which the reference shows, give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import transferlib as tl

MODULES = [m.name for m in pkgutil.walk_packages(tl.__path__, "transferlib.") if not m.name.endswith("__main__")]
PUBLIC = (
    "load_data split_by_group TransferModel Phase progressive_unfreezing lp_ft fit cache_features evaluate "
    "predict score"
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", PUBLIC.split())
def test_the_heart_of_the_public_api_has_an_example(name):
    assert ">>> " in getattr(tl, name).__doc__
