"""How large must the network see a picture? The same pictures, enlarged or shrunk before the network.

    python lessons/studies/input_size.py  # every cell that input_size.json does not hold yet: hours on one core
    python lessons/studies/input_size.py --folder "ants and bees=PHOTOS"  # also photographs of your own

Of the recorded isic9 the folder is the part Train, divided here; that of ants and bees has a division of its own.

A cell has two sizes. `kept` is the side in which the data set holds a picture: all the detail that there is. `seen` is
the side at which the network sees it, brought there by bicubic interpolation. From 64 kept to 128 seen there is
nothing new in the picture; kept at 128, it is drawn or cut with that detail. Validation (64 images) chooses the epoch,
nobody augments, the test split (400, of a folder what it has) is read once. The small network is recorded at one size
and of one seed: on the map validation chooses between two sizes for it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from map import add_folder, or_left_out
from map import measure as measure_on_map
from record import Cell, fill
from threadpoolctl import threadpool_limits

import transferlib as tl

RESULT = Path(__file__).with_name("input_size.json")
SETS, KEPT = ("photos", "lesions", "digits"), 64
SEEN = (32, 64, 96, 128, 160, 224)
DRAWN = (128, 224)  # also kept at this size, where a pretrained network sees them
SEEDS = range(5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_folder(parser)
    folders = dict(parser.parse_args().folder)
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
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

    def measure(
        name: str, kept: int, seen: int, n: int, strategy: str, seed: int
    ) -> Cell:
        cell = measure_on_map(name, n, strategy, seed, folders.get(name), (seen,), kept)
        return cell | {"kept": kept, "seen": seen}

    keys = ("set", "kept", "seen", "n", "strategy", "seed")
    measured = or_left_out(measure, folders)
    fill(RESULT, "python lessons/studies/input_size.py", keys, wanted, measured)


if __name__ == "__main__":
    main()
