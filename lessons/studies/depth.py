"""How much of the network should learn? Fine-tuning of the uppermost stages, from none to all.

    python lessons/studies/depth.py  # every cell that depth.json does not hold yet: half an hour of one core

128 images of 64 px, seen at 128, three sets, three seeds, ten epochs in every cell, so that nothing but the number of
learning stages differs. Validation (64 images) chooses the epoch; the test split (400) is read once.
"""

from __future__ import annotations

from pathlib import Path

from record import Cell, fill, timed
from threadpoolctl import threadpool_limits

import transferlib as tl
from transferlib.advice.places import MAP_SIZE
from transferlib.advice.similarity import SEEN

RESULT = Path(__file__).with_name("depth.json")
BACKBONE, N, EPOCHS = "efficientnet_lite0", 128, 10
SETS, SEEDS = ("photos", "lesions", "digits"), range(3)


def measure(name: str, learn: int, seed: int) -> Cell:
    """One cell: so many stages below the head learn."""
    splits = tl.load_data(name, N, image_size=MAP_SIZE, n_val=64, n_test=400, seed=seed)
    model = tl.TransferModel(BACKBONE, len(splits.classes), seed=seed, input_size=SEEN)
    recipe = tl.fine_tuning(EPOCHS, learn=learn, augment="none")
    _, spent = timed(lambda: tl.fit(model, splits, recipe, seed=seed))
    return {
        "set": name,
        "n": N,
        "seen": SEEN,
        "backbone": BACKBONE,
        "learn": learn,
        "seed": seed,
        "classes": len(splits.classes),
        "accuracy": tl.evaluate(model, splits.test).accuracy,
        **spent,
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
