"""How much of the network should learn? Fine-tuning of the uppermost stages, from none to all.

    python lessons/studies/depth.py  # every cell that depth.json does not hold yet: half an hour of one core

128 images of 64 px, seen at 128, three sets, three seeds, ten epochs in every cell, so that nothing but the number of
learning stages differs. Validation (64 images) chooses the epoch; the test split (400) is read once.
"""

from __future__ import annotations

import time
from pathlib import Path

from record import Cell, fill
from threadpoolctl import threadpool_limits

import transferlib as tl

RESULT = Path(__file__).with_name("depth.json")
BACKBONE, N, EPOCHS, SEEN = "efficientnet_lite0", 128, 10, 128
SETS, SEEDS = ("photos", "lesions", "digits"), range(3)


def measure(name: str, learn: int, seed: int) -> Cell:
    """One cell: so many stages below the head learn."""
    splits = tl.load_data(name, N, image_size=64, n_val=64, n_test=400, seed=seed)
    model = tl.TransferModel(BACKBONE, len(splits.classes), seed=seed, input_size=SEEN)
    recipe = tl.fine_tuning(EPOCHS, learn=learn, augment="none")
    begun = time.process_time()  # others may be at work here
    tl.fit(model, splits, recipe, seed=seed)
    seconds = time.process_time() - begun
    return {
        "set": name,
        "n": N,
        "seen": SEEN,
        "backbone": BACKBONE,
        "learn": learn,
        "seed": seed,
        "classes": len(splits.classes),
        "accuracy": tl.evaluate(model, splits.test).accuracy,
        "seconds": round(seconds, 2),
    }


def main() -> None:
    tl.keep_freed_memory()
    threadpool_limits(1, user_api="blas")
    stages = len(tl.TransferModel(BACKBONE, 2, pretrained=False).stages)
    wanted = [
        (name, learn, seed)
        for seed in SEEDS
        for name in SETS
        for learn in range(stages + 1)
    ]
    fill(
        RESULT,
        "python lessons/studies/depth.py",
        ("set", "learn", "seed"),
        wanted,
        measure,
    )


if __name__ == "__main__":
    main()
