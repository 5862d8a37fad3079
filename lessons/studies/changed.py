"""Who changed? Each stage of a network before and after it was trained. The numbers behind lesson 7.

    python lessons/studies/changed.py  # every cell that changed.json does not hold yet: five minutes of one core

128 images in total, kept at 64 pixels and seen at 128, the epochs of the map, nobody augments, the epoch that
validation (64 images) prefers. Two ways: fine-tuning with the package's rates, which fall towards the input, and with
one rate for the whole body. `alone`, from the input on: how much each stage of the network, on 200 test images, is like
its trained self if only this stage is exchanged, so that both get the same (linear CKA; one is no change).
"""

from __future__ import annotations

from pathlib import Path

import torch
from record import Cell, fill, taught
from threadpoolctl import threadpool_limits

import transferlib as tl
from transferlib.advice.places import recipes

RESULT = Path(__file__).with_name("changed.json")
N, SETS, SEEDS = 128, ("photos", "lesions"), range(3)
lesson = taught("07", "cka", "alone", "stages_of")


def ways() -> dict[str, tl.Strategy]:
    usual = recipes(N, augment="none")["fine-tuning"]
    equal = tl.fine_tuning(usual.epochs, decay=1.0, augment="none")
    return {"fine-tuning": usual, "fine-tuning, one rate": equal}


def measure(name: str, way: str, seed: int) -> Cell:
    """One cell."""
    splits = tl.load_data(name, N, image_size=64, n_val=64, n_test=400, seed=seed)
    old, model = (
        tl.TransferModel(
            "efficientnet_lite0", len(splits.classes), seed=seed, input_size=128
        )
        for _ in range(2)
    )
    run = tl.fit(model, splits, ways()[way], seed=seed)
    images = splits.test.images[:200]
    return {
        "set": name,
        "way": way,
        "seed": seed,
        "accuracy": tl.evaluate(model, splits.test).accuracy,
        "best_epoch": run.best_epoch,
        "alone": [round(value, 4) for value in lesson.alone(old, model, images)],
    }


def wanted() -> list[tuple[str, str, int]]:
    return [(name, way, seed) for seed in SEEDS for name in SETS for way in ways()]


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    command = "python lessons/studies/changed.py"
    fill(RESULT, command, ("set", "way", "seed"), wanted(), measure)


if __name__ == "__main__":
    main()
