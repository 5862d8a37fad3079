"""The race of lesson 1: who learns most from a hundred pictures, with ImageNet and without?

    python lessons/studies/race.py  # every cell that race.json does not hold yet: a quarter of an hour on one core

Two subjects, synthetic skin and patches of photographs, kept at 64 pixels; five seeds, each with its own pictures. The
pretrained network and its blank twin see them at 128; the small network from scratch takes 64 or 128, whichever its
validation images prefer. Recipes are those of the course's map for so many images, fixed before anybody ran, with the
data's own augmentation; the twin has the epochs of fine-tuning. Validation (64 images) chooses the epoch, the test
split (256) is read once.
"""

from __future__ import annotations

from pathlib import Path

import torch
from map import at_the_best_size
from record import Cell, fill, taught
from threadpoolctl import threadpool_limits

import transferlib as tl
from transferlib.advice.places import MAP_SIZE, recipes
from transferlib.advice.similarity import SEEN

RESULT = Path(__file__).with_name("race.json")
N, KEPT = 100, MAP_SIZE
SETS, SEEDS = ("lesions", "photos"), range(5)
USUAL = recipes(N)
TUNED, SCRATCH = USUAL["fine-tuning"], USUAL["from scratch"]
STUDENTS = {  # backbone, recipe, sizes of which validation chooses
    "fine-tuned": ("efficientnet_lite0", TUNED, (SEEN,)),
    "blank twin": (
        "efficientnet_lite0",
        tl.from_scratch(TUNED.epochs),
        (SEEN,),
    ),
    "small network": ("small_cnn", SCRATCH, (KEPT, SEEN)),
}


def frozen(splits: tl.Splits) -> float:
    """Test accuracy of a linear classifier on frozen features."""
    network = tl.TransferModel("efficientnet_lite0", input_size=SEEN)
    train, test = (
        tl.extract_features(network, part.images)
        for part in (splits.train, splits.test)
    )
    probe = tl.linear_probe(train, splits.train.labels)
    return float(probe.score(test.numpy(), splits.test.labels))


SIMPLE = {"pixels": taught("01", "pixels").pixels, "frozen": frozen}


def measure(name: str, student: str, seed: int) -> Cell:
    """One cell: one student, one subject, one draw of its pictures."""
    splits = tl.load_data(name, N, image_size=KEPT, n_val=64, n_test=256, seed=seed)
    cell: Cell = {"set": name, "student": student, "seed": seed}
    if student in SIMPLE:
        return cell | {"accuracy": float(SIMPLE[student](splits))}
    backbone, recipe, sizes = STUDENTS[student]
    model, run, about = at_the_best_size(splits, backbone, recipe, seed, sizes)
    return cell | {
        **about,
        "epochs": recipe.epochs,
        "best_epoch": run.best_epoch,
        "val_accuracy": run.best.val_accuracy,
        "accuracy": tl.evaluate(model, splits.test).accuracy,
    }


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [
        (name, student, seed)
        for seed in SEEDS
        for name in SETS
        for student in (*SIMPLE, *STUDENTS)
    ]
    keys = ("set", "student", "seed")
    fill(RESULT, "python lessons/studies/race.py", keys, wanted, measure)


if __name__ == "__main__":
    main()
