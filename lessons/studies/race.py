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
from record import Cell, fill
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch.nn.functional import avg_pool2d

import transferlib as tl
from transferlib.advice.places import recipes

RESULT = Path(__file__).with_name("race.json")
N, KEPT, SEEN = 100, 64, 128
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


def simple(student: str, splits: tl.Splits) -> float:
    """Test accuracy of a linear classifier: on frozen features, or on 16 × 16 fields of the pictures themselves."""
    pair = splits.train, splits.test
    if student == "frozen":
        network = tl.TransferModel("efficientnet_lite0", input_size=SEEN)
        train, test = (tl.extract_features(network, part.images) for part in pair)
        judge = tl.linear_probe(train, splits.train.labels)
    else:
        train, test = (
            avg_pool2d(part.images / 255, KEPT // 16).flatten(1) for part in pair
        )
        linear = LogisticRegression(C=0.1, max_iter=2000)
        judge = make_pipeline(StandardScaler(), linear).fit(train, splits.train.labels)
    return float(judge.score(test, splits.test.labels))


def measure(name: str, student: str, seed: int) -> Cell:
    """One cell: one student, one subject, one draw of its pictures."""
    splits = tl.load_data(name, N, image_size=KEPT, n_val=64, n_test=256, seed=seed)
    cell: Cell = {"set": name, "student": student, "seed": seed}
    if student not in STUDENTS:
        return cell | {"accuracy": simple(student, splits)}
    backbone, recipe, sizes = STUDENTS[student]
    tried = []
    for size in sizes:
        model = tl.TransferModel(
            backbone,
            len(splits.classes),
            pretrained=recipe.pretrained,
            seed=seed,
            input_size=size,
        )
        run = tl.fit(model, splits, recipe, seed=seed)
        tried.append((run.best.val_accuracy, -run.best.val_loss, size, run, model))
    *_, size, run, model = max(tried, key=lambda found: found[:2])
    return cell | {
        "seen": size,
        "epochs": recipe.epochs,
        "best_epoch": run.best_epoch,
        "val_accuracy": run.best.val_accuracy,
        "accuracy": tl.evaluate(model, splits.test).accuracy,
        "seconds": round(sum(trial[3].seconds for trial in tried), 1),
    }


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [
        (name, student, seed)
        for seed in SEEDS
        for name in SETS
        for student in ("pixels", "frozen", *STUDENTS)
    ]
    keys = ("set", "student", "seed")
    fill(RESULT, "python lessons/studies/race.py", keys, wanted, measure)


if __name__ == "__main__":
    main()
