"""How large must the network see a picture? The same pictures, enlarged or shrunk before the network.

    python lessons/studies/input_size.py  # every cell that input_size.json does not hold yet: hours on one core
    python lessons/studies/input_size.py --folder "ants and bees=PHOTOS"  # also photographs of your own

A cell has two sizes. `kept` is the side in which the data set holds a picture: all the detail that there is. `seen` is
the side at which the network sees it, brought there by bicubic interpolation. From 64 kept to 128 seen there is
nothing new in the picture; kept at 128, it is drawn or cut with that detail. Validation (64 images) chooses the epoch,
nobody augments, the test split (400, of a folder what it has) is read once. The opponents meet the same sizes, so that
each can be given the one that validation prefers for it.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from map import load as load_map_set
from map import pixels
from record import Cell, fill
from threadpoolctl import threadpool_limits
from torch.nn.functional import interpolate

import transferlib as tl
from transferlib.advice.places import recipes

RESULT = Path(__file__).with_name("input_size.json")
SETS, KEPT = ("photos", "lesions", "digits"), 64
SEEN = (32, 64, 96, 128, 160, 224)
DRAWN = (
    128,
    224,
)  # also kept at the size at which they are seen, for strategies that use a pretrained network
SEEDS = range(5)


def seen_at(splits: tl.Splits, side: int) -> tl.Splits:
    """The same pictures at another size, uint8."""

    def resized(images: torch.Tensor) -> torch.Tensor:
        made = interpolate(images.float(), (side, side), mode="bicubic", antialias=True)
        return made.round_().clamp_(0, 255).to(torch.uint8)

    parts = {p: getattr(splits, p) for p in ("train", "val", "test")}
    return replace(
        splits, **{p: replace(s, inputs=resized(s.images)) for p, s in parts.items()}
    )


@lru_cache(maxsize=2)
def load(name: str, kept: int, n: int, seed: int, path: str | None) -> tl.Splits:
    """One of the sets, or a folder, in the size that it is kept in."""
    return load_map_set(name, n, seed, path, image_size=kept)


def measure(
    name: str, kept: int, seen: int, n: int, strategy: str, seed: int, path: str | None
) -> Cell:
    """One cell."""
    splits = load(name, kept, n, seed, path)
    cell: Cell = {
        "set": name,
        "kept": kept,
        "seen": seen,
        "n": n,
        "strategy": strategy,
        "seed": seed,
        "classes": len(splits.classes),
    }
    if strategy == "pixels":
        return {**cell, "accuracy": pixels(splits)}
    if seen != kept:
        splits = seen_at(splits, seen)
    recipe = recipes(n, augment="none")[strategy]
    backbone = "efficientnet_lite0" if recipe.pretrained else "small_cnn"
    model = tl.TransferModel(
        backbone, len(splits.classes), pretrained=recipe.pretrained, seed=seed
    )
    run = tl.fit(model, splits, recipe, seed=seed)
    scores = tl.evaluate(model, splits.test)
    return {
        **cell,
        "accuracy": scores.accuracy,
        "balanced_accuracy": scores.balanced_accuracy,
        "val_accuracy": run.best.val_accuracy,
        "seconds": round(run.seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="also a folder with one sub-folder a class; may be repeated",
    )
    folders = dict(pair.split("=", 1) for pair in parser.parse_args().folder)
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    warnings.simplefilter("ignore")  # what a folder leaves out is told by `data check`
    wanted = [
        (name, kept, seen, n, strategy, seed)
        for strategy in ("pixels", "feature extraction", "fine-tuning", "from scratch")
        for seed in SEEDS
        for name in (*SETS, *folders)
        for n in (128, 512)
        if n == 128 or strategy == "feature extraction"
        for kept, seen in (*((KEPT, s) for s in SEEN), *((s, s) for s in DRAWN))
        if kept == KEPT or name != "digits"  # they are 8 × 8: there is no more detail
        if strategy != "pixels" or kept == seen == KEPT
        if strategy != "from scratch" or kept == KEPT
        if strategy != "fine-tuning" or (kept, seen) != (224, 224)
    ]

    def measured(
        name: str, kept: int, seen: int, n: int, strategy: str, seed: int
    ) -> Cell | None:
        try:
            return measure(name, kept, seen, n, strategy, seed, folders.get(name))
        except tl.DataError as error:
            if name not in folders:
                raise
            # The folder has fewer images.
            print(name, n, strategy, seed, f"left out: {error}", flush=True)
            return None

    keys = ("set", "kept", "seen", "n", "strategy", "seed")
    fill(RESULT, "python lessons/studies/input_size.py", keys, wanted, measured)


if __name__ == "__main__":
    main()
