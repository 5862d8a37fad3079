"""How many images does a small network need, until it has caught up with a pretrained one that had a hundred?

    python lessons/studies/catch_up.py  # every cell that catch_up.json does not hold yet

Lesson 1 asks it, lesson 3 answers. Synthetic lesions, because there are as many of them as one likes; the long-trained
opponent of the map, up to many more images than the map has. As there, it sees them in their own 64 pixels or at 128,
whichever does better in validation.
"""

from __future__ import annotations

from pathlib import Path

import torch
from map import LONG_TRAINED
from map import measure as measure_map
from record import Cell, fill
from threadpoolctl import threadpool_limits

import transferlib as tl
from transferlib.advice.places import MAP_SIZE

RESULT = Path(__file__).with_name("catch_up.json")
SIZES, SEEDS = (100, 200, 400, 800, 1600), range(3)
SEEN = MAP_SIZE, 2 * MAP_SIZE


def measure(n: int, seed: int) -> Cell:
    """One cell of the map, with more images than it has."""
    return measure_map("lesions", n, LONG_TRAINED, seed, None, SEEN)


def main() -> None:
    tl.keep_freed_memory()
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    wanted = [(n, seed) for n in SIZES for seed in SEEDS]
    command = "python lessons/studies/catch_up.py"
    fill(RESULT, command, ("n", "seed"), wanted, measure)


if __name__ == "__main__":
    main()
