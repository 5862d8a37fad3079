"""BatchNorm's averages swapped for another camera's, on networks that did and did not learn from ours.

    python lessons/studies/averages.py  # every cell that averages.json does not hold yet: minutes on one core

Source: 256 labelled patches of photographs. Target: the same sixteen photographs through a bad camera, 160 patches
without labels to collect averages from, 160 to be examined on, from other regions. The networks of `NETWORKS` are
examined on our patches, on theirs as they are, and on theirs with their averages. Those that learned averages from ours
in training are also given the averages of fewer of their images, and of two kinds of things only. Images are kept at 64
pixels and seen at 128. Trained are four epochs, and sixteen, to see what hangs on that; the last one is kept, nothing
is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from record import Cell, fill, taught
from threadpoolctl import threadpool_limits
from torch import Tensor

import transferlib as tl

RESULT = Path(__file__).with_name("averages.json")
SEEDS = range(5)
FEWER = (4, 16, 64)  # of their images; all are 160
OURS = {"trained on ours": 4, "trained on ours, longer": 16}  # epochs
HELD = {"averages held": 4, "averages held, longer": 16}
NETWORKS = (
    "as it came",  # frozen, with ImageNet's averages; a probe learns from our patches
    "averages of ours",  # frozen, but BatchNorm's averages are those of our patches
    *OURS,  # fine-tuned, and BatchNorm learned its averages from our patches
    *HELD,  # fine-tuned, and BatchNorm kept ImageNet's averages
)


LESSON = taught("02", "bad_camera", "adapted")


def learn(
    name: str, splits: tl.Splits, seed: int
) -> tuple[tl.TransferModel, Callable[[tl.TransferModel, Tensor], float]]:
    """A network, and how to examine it, or a copy with other averages, on test images seen by some camera."""
    train, labels = splits.train, splits.test.labels
    network = tl.TransferModel("efficientnet_lite0", 16, input_size=128, seed=seed)
    if epochs := (OURS | HELD).get(name):
        strategy = tl.fine_tuning(
            epochs, batch_size=32, monitor="last", keep_statistics=name in HELD
        )
        tl.fit(network, replace(splits, val=splits.val[:16]), strategy, seed=seed)
        return (
            network,
            lambda model, images: (
                (tl.predict(model, images).argmax(1) == labels).float().mean().item()
            ),
        )
    if name == "averages of ours":
        network = LESSON.adapted(network, train.images)
    probe = tl.linear_probe(tl.extract_features(network, train.images), train.labels)
    return network, lambda model, images: float(
        probe.score(tl.extract_features(model, images).numpy(), labels)
    )


def measure(name: str, seed: int) -> Cell:
    splits = tl.load_data(
        "photos", 256, image_size=64, n_val=160, n_test=160, seed=seed
    )
    network, score = learn(name, splits, seed)
    test, unlabelled = splits.test.images, LESSON.bad_camera(splits.val.images, seed=1)
    theirs = LESSON.bad_camera(test)
    swapped = score(LESSON.adapted(network, unlabelled), theirs)
    cell: Cell = {"network": name, "seed": seed, "accuracy": swapped}
    cell |= {"ours": score(network, test), "theirs": score(network, theirs)}
    if name in OURS:
        two_kinds = unlabelled[splits.val.labels < 2]
        some = {str(n): unlabelled[:n] for n in (*FEWER, len(two_kinds))}
        for told, images in (some | {"two kinds": two_kinds}).items():
            cell[told] = score(LESSON.adapted(network, images), theirs)
    return cell


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [(name, seed) for seed in SEEDS for name in NETWORKS]
    fill(
        RESULT,
        "python lessons/studies/averages.py",
        ("network", "seed"),
        wanted,
        measure,
    )


if __name__ == "__main__":
    main()
