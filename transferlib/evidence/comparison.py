"""One rule for every difference: paired runs become a mean, a spread, an interval and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from transferlib.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike  # in full it is wider than a phone, in the reference

MOST_RUNS = 10_000
"""Whoever would need more runs than this cannot be helped by running more."""


@dataclass(frozen=True)
class Comparison:
    """Differences between two things, one a pair of runs, in the unit in which they were measured.

    `str()` says it in a sentence with three decimals; `f"{comparison:.1f}"` with as many as you want.

    >>> import transferlib as tl
    >>> print(tl.compare([0.71, 0.74, 0.69], [0.66, 0.70, 0.67]))
    +0.037 ± 0.015 (n = 3, 95 %: -0.001 to +0.075): not clear (would need 1 more run)
    """

    differences: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many pairs of runs."""
        return len(self.differences)

    @property
    def mean(self) -> float:
        """The mean difference."""
        return mean(self.differences)

    @property
    def sd(self) -> float:
        """The standard deviation of the differences, with n - 1 below the fraction."""
        return stdev(self.differences)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean difference, by Student's t (Student 1908)."""
        half = float(reach(self.n)) * self.sd
        return self.mean - half, self.mean + half

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero: chance alone would rarely make such a difference."""
        low, high = self.interval
        return low > 0 or high < 0

    @property
    def more_runs(self) -> int | None:
        """How many more pairs would make a difference of this size and spread clear; None beyond MOST_RUNS."""
        if self.clear:
            return 0
        counts = np.arange(2, MOST_RUNS + 1)
        enough = counts[abs(self.mean) > reach(counts) * self.sd]
        return int(enough[0]) - self.n if enough.size else None

    @property
    def verdict(self) -> str:
        """`clear`, or `not clear` and how many more runs it would take if they come out like these."""
        if self.clear:
            return "clear"
        if self.more_runs is None:
            return f"not clear (nor with {MOST_RUNS:,} runs)"
        return f"not clear (would need {self.more_runs} more {'run' if self.more_runs == 1 else 'runs'})"

    def figures(self, number: str = ".3f") -> str:
        """Mean, standard deviation, runs and interval, without a verdict."""
        low, high = self.interval
        spread = f"{self.mean:+{number}} ± {self.sd:{number}}"
        return f"{spread} (n = {self.n}, 95 %: {low:+{number}} to {high:+{number}})"

    def __format__(self, spec: str) -> str:
        return f"{self.figures(spec or '.3f')}: {self.verdict}"

    def __str__(self) -> str:
        return format(self)


def compare(first: ArrayLike, second: ArrayLike = 0.0) -> Comparison:
    """The difference first - second, run by run: what two things score on the same draws, or one against a number.

    first, second: (N,) numbers, the same N, in the same order of seeds; second may be a single number, and is 0 if
    `first` are differences already. Raises DataError for fewer than two runs, for other shapes, and for nan.

    >>> import transferlib as tl
    >>> tl.compare([0.9, 0.8, 0.9], [0.5, 0.5, 0.6]).clear
    True
    """
    ours, theirs = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if ours.ndim != 1 or theirs.shape not in ((), ours.shape):
        told = f"Runs are compared in pairs, but their shapes are {ours.shape} and {theirs.shape}"
        raise DataError(f"{told}: give as many numbers of each, in the same order of seeds.")
    if len(ours) < 2:
        raise DataError(f"A comparison needs at least 2 pairs of runs, not {len(ours)}: repeat it with another seed.")
    differences = ours - theirs
    if not np.isfinite(differences).all():
        raise DataError(f"Not every difference is a number: {differences.tolist()}. A run that failed has no score.")
    return Comparison(tuple(differences.tolist()))


def spread(values: ArrayLike, number: str = ".2f") -> str:
    """Mean and standard deviation of runs, (N,), as a page says them: "0.81 ± 0.02".

    >>> spread([0.79, 0.81, 0.83])
    '0.81 ± 0.02'
    """
    runs = np.asarray(values, dtype=float)
    return f"{runs.mean():{number}} ± {runs.std(ddof=1):{number}}"


def reach(n: int | np.ndarray) -> np.ndarray:
    """Half the width of the 95 % interval for n pairs of runs, in standard deviations of their differences."""
    return np.asarray(student.ppf(0.975, np.asarray(n) - 1) / np.sqrt(n))
