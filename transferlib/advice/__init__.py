"""Which strategy to take: a measured map, how like the reader's data are to its places, and what a run would cost.

The map is measured by lessons/studies/map.py; to widen it, add a set there and run `make study-map`.
"""

from transferlib.advice.places import Case, Expected, Place, choose, expect, leave_one_set_out, load_map, recipes

__all__ = ["Case", "Expected", "Place", "choose", "expect", "leave_one_set_out", "load_map", "recipes"]
