"""A data set by its name."""

import difflib
import inspect
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from transferlib.data import SOURCES
from transferlib.data.splits import Splits
from transferlib.errors import DataError, DownloadError
from transferlib.files.room import check_room


def load_data(name: str, n_train: int | None = None, *, fallback: str | None = None, **options: Any) -> Splits:
    """Load a data set by name, split into train, val and test without shared groups.

    name: one of `transferlib.data.SOURCES`; "folder" and "texts" need path=…, "dataset" needs data=…. n_train: the
    number of training inputs; None leaves it to the source. options, the same for all: image_size (the side in
    pixels; not for texts), seed, n_val, n_test; others belong to the source (see its function).

    A class that would have no training example is a DataError, in every source.
    A set that has to be downloaded and cannot be had raises DownloadError. With
    fallback="lesions", say, a warning tells what is used instead.

    >>> load_data("lesions", 20, image_size=32, n_val=10, n_test=10, seed=1)
    Splits('lesions', synthetic, 5 classes, 32×32: train 20, val 10, test 10)
    """
    if name == "table":
        warnings.warn('the source "table" is called "texts" now.', DeprecationWarning, stacklevel=2)
        name = "texts"
    if name not in SOURCES:
        close = difflib.get_close_matches(name, SOURCES, n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise DataError(f"no data set is called {name!r}.{hint} There are: {', '.join(SOURCES)}.")
    seed, size = options.get("seed", 0), options.get("image_size", 1)
    if not 0 <= seed < 1 << 63:
        raise DataError(f"seed must be a whole number from 0 to {(1 << 63) - 1}, not {seed}.")
    if not SOURCES[name].startswith("own"):  # what is the reader's own is counted first
        check_room(size, max(1, (n_train or 0) + sum(options.get(part) or 0 for part in ("n_val", "n_test"))))
    source = _source(name)
    if n_train is not None:
        options["n_train"] = n_train
    try:
        splits = source(**options)
    except DownloadError as error:
        if fallback is None:
            raise
        shared = {key: options[key] for key in ("n_train", "image_size", "seed", "n_val", "n_test") if key in options}
        splits = load_data(fallback, **shared)
        kind = "synthetic" if splits.synthetic else "real"
        warnings.warn(f"{name} could not be had ({error}). Used instead: {fallback} ({kind}).", stacklevel=2)
    return splits


def options_of(name: str) -> set[str]:
    """The options that a source takes."""
    return set(inspect.signature(_source(name)).parameters)


def _source(name: str) -> Callable[..., Splits]:
    source: Callable[..., Splits] = getattr(import_module(f"transferlib.data.{SOURCES[name]}"), name)
    return source
