"""How many images does a small network need, until it has caught up with a pretrained one that had a hundred?

    python lessons/studies/catch_up.py             # every cell that catch_up.json does not hold yet, seen at 64 pixels
    python lessons/studies/catch_up.py --seen 128  # the same, enlarged, which takes four times as long

Lesson 1 asks it, lesson 3 answers. Synthetic lesions, because there are as many of them as one likes; the long-trained
opponent of the map, up to many more images than the map has. Of two sizes at which the network sees them, where both
are measured, the lesson takes the one that does better on validation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from map import LONG_TRAINED
from map import measure as measure_map
from record import Cell, fill
from threadpoolctl import threadpool_limits

import transferlib as tl

RESULT = Path(__file__).with_name("catch_up.json")
SIZES, SEEDS = (100, 200, 400, 800, 1600), range(3)


def measure(n: int, seen: int, seed: int) -> Cell:
    """One cell of the map, of a size that it does not have."""
    return measure_map("lesions", n, LONG_TRAINED, seed, None, (seen,))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seen", type=int, default=64, metavar="PIXELS")
    seen = parser.parse_args().seen
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [(n, seen, seed) for n in SIZES for seed in SEEDS]
    keys = ("n", "seen", "seed")
    fill(RESULT, "python lessons/studies/catch_up.py", keys, wanted, measure)


if __name__ == "__main__":
    main()
