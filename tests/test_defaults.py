"""What somebody gets who gives no options: changing it changes their results, so it is written down here, too."""

import inspect

import pytest

import transferlib as tl
from transferlib.evaluation import DRAWS
from transferlib.features import CACHE_LIMIT, no_room
from transferlib.run import Run


def defaults(function):
    given = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in given if p.default is not inspect.Parameter.empty}


@pytest.mark.parametrize(
    ("function", "documented"),
    [
        (tl.Phase, {"body": 0.1, "decay": 0.7, "above": 0}),
        (tl.from_scratch, {"epochs": 30, "lr": 3e-3}),
        (tl.feature_extraction, {"epochs": 20, "lr": 3e-3, "views": 1}),
        (tl.fine_tuning, {"epochs": 10, "lr": 3e-3, "body": 0.1, "decay": 0.7, "learn": None}),
        (tl.progressive_unfreezing, {"epochs": 10, "lr": 3e-3, "steps": None, "body": 0.1, "decay": 0.7}),
        (tl.lp_ft, {"epochs": 10, "lr": 3e-3, "probe": 0.5}),
        (tl.predict, {"batch_size": 32}),
        (tl.extract_features, {"batch_size": 32}),
        (tl.linear_probe, {"freedom": 0.1}),
        (tl.score, {"classes": None, "groups": None}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_defaults_are_the_documented_ones(function, documented):
    assert defaults(function) == documented


def test_the_defaults_of_a_strategy_are_the_documented_ones():
    assert defaults(tl.Strategy) == {
        "pretrained": True,
        "optimizer": "adamw",
        "momentum": 0.9,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup": 0.1,
        "batch_size": 16,
        "keep_statistics": False,
        "augment": None,
        "loss": None,
        "views": None,
        "label_smoothing": 0.0,
        "class_weights": None,
        "patience": None,
        "monitor": "accuracy",
    }


def test_the_defaults_of_fit_are_the_documented_ones():
    assert defaults(tl.fit) == {
        "seed": 0,
        "device": None,
        "precision": "fp32",
        "cache": None,
        "half_features": False,
        "progress": None,
        "checkpoint": None,
        "resume": False,
        "save_every": 30.0,
    }


def test_the_defaults_of_a_model_are_the_documented_ones():
    assert defaults(tl.TransferModel) == {
        "backbone": "efficientnet_lite0",
        "num_classes": 2,
        "pretrained": True,
        "seed": 0,
        "head": None,
        "input_size": None,
    }


def test_a_run_begins_with_nothing():
    run = Run(tl.fine_tuning(), "small_cnn", "stripes", 3)
    assert (run.history, run.best_epoch, run.seconds, run.notes) == ([], 0, 0.0, [])


def test_the_limits_are_the_documented_ones():
    assert (CACHE_LIMIT, DRAWS) == (2 * 1024**3, 200)
    assert no_room(CACHE_LIMIT, None) == "" != no_room(CACHE_LIMIT + 1, None)
