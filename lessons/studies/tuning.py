"""Where does fine-tuning pay? Three tasks, each with its opponents, and slower and shorter ways of fine-tuning.

    python lessons/studies/tuning.py  # every cell that tuning.json does not hold yet: most of an hour on one core

The tasks were chosen by distance and number of images, before anything was measured: 64 photographs (like the source,
few), 256 synthetic lesions and 256 digits (unlike it, more). Pictures are kept at 64 pixels; the large network sees
them at 128, the small one at 64 or 128, whichever does better on validation. Recipes, validation (64 images, which
choose the epoch) and test (400 images, read once) are those of the map. The small network is lesson 3's, long-trained
on mirrored and turned copies; nobody else augments.
"""

from __future__ import annotations

from pathlib import Path

import torch
from map import LONG_TRAINED, at_the_best_size, load, long_trained, pixels
from record import Cell, fill
from threadpoolctl import threadpool_limits

import transferlib as tl
from transferlib.advice.places import recipes

RESULT = Path(__file__).with_name("tuning.json")
TASKS = (("photos", 64), ("lesions", 256), ("digits", 256))
STRATEGIES = ("pixels", "feature extraction", "fine-tuning", LONG_TRAINED)
SLOWER, SHORTER = "fine-tuning, slower body", "fine-tuning, a third as long"
SEEDS = range(5)


def recipe(strategy: str, n: int) -> tl.Strategy:
    """The map's recipe, lesson 3's from scratch, or one of two other ways to fine-tune."""
    if strategy == LONG_TRAINED:
        return long_trained(n)
    usual = recipes(n, augment="none")
    epochs = usual["fine-tuning"].epochs
    if strategy == SLOWER:
        return tl.fine_tuning(epochs, body=0.01, augment="none")
    if strategy == SHORTER:
        return tl.fine_tuning(max(1, epochs // 3), augment="none")
    return usual[strategy]


def measure(name: str, n: int, strategy: str, seed: int) -> Cell:
    """One cell."""
    splits = load(name, n, seed)
    cell: Cell = {"set": name, "n": n, "strategy": strategy, "seed": seed}
    if strategy == "pixels":
        return {**cell, "accuracy": pixels(splits)}
    way = recipe(strategy, n)
    backbone, sizes = (
        ("efficientnet_lite0", (128,)) if way.pretrained else ("small_cnn", (64, 128))
    )
    model, run, about = at_the_best_size(splits, backbone, way, seed, sizes)
    return {
        **cell,
        **about,
        "accuracy": tl.evaluate(model, splits.test).accuracy,
        "val_accuracy": run.best.val_accuracy,
        "best_epoch": run.best_epoch,
        "epochs": len(run.history),
    }


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [
        (name, n, strategy, seed)
        for seed in SEEDS
        for name, n in TASKS
        for strategy in (*STRATEGIES, SLOWER, SHORTER)
        if name == "photos" or strategy in STRATEGIES
    ]
    keys = ("set", "n", "strategy", "seed")
    fill(RESULT, "python lessons/studies/tuning.py", keys, wanted, measure)


if __name__ == "__main__":
    main()
