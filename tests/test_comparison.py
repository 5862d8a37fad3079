"""One rule for differences: as SciPy computes it, in words that follow it."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import transferlib as tl
from transferlib.evidence.comparison import MOST_RUNS

SCORES = st.lists(
    st.tuples(st.floats(0, 1, allow_subnormal=False), st.floats(0, 1, allow_subnormal=False)), min_size=2, max_size=12
)


@given(SCORES)
def test_interval_and_verdict_are_those_of_scipys_paired_t_test(runs):
    first, second = np.array(runs).T
    differences = first - second
    assume(differences.std() > 1e-6)  # SciPy divides by it
    found, test = tl.compare(first, second), stats.ttest_rel(first, second)
    low, high = test.confidence_interval(0.95)
    assert found.interval == pytest.approx((low, high), rel=1e-9, abs=1e-12)
    assume(abs(test.pvalue - 0.05) > 1e-9)
    assert found.clear == (test.pvalue < 0.05)
    assert (found.mean, found.sd, found.n) == pytest.approx((differences.mean(), differences.std(ddof=1), len(runs)))


@given(SCORES)
def test_the_other_way_round_only_the_sign_changes(runs):
    first, second = np.array(runs).T
    found, mirrored = tl.compare(first, second), tl.compare(second, first)
    assert mirrored.interval == pytest.approx(tuple(-end for end in reversed(found.interval)))
    assert (mirrored.clear, mirrored.more_runs) == (found.clear, found.more_runs)


@given(st.floats(0.05, 3), st.integers(2, 9))
def test_with_as_many_more_runs_as_it_says_such_a_difference_is_clear_and_with_one_fewer_it_is_not(effect, n):
    pattern = np.array([-1.0, 1.0] * (n // 2) + [0.0] * (n % 2))
    found = tl.compare(effect + pattern / pattern.std(ddof=1))  # standard deviation 1, mean `effect`
    if found.clear:
        assert found.more_runs == 0
        return
    runs = n + found.more_runs

    def significant(count):
        return effect * math.sqrt(count) > stats.t.ppf(0.975, count - 1)

    assert significant(runs) and not significant(runs - 1)


def test_no_number_of_runs_makes_a_difference_of_zero_clear():
    found = tl.compare([0.1, -0.1])
    assert not found.clear and found.more_runs is None
    assert f"not clear (nor with {MOST_RUNS:,} runs)" in str(found)


def test_runs_that_differ_by_the_same_amount_are_clear_and_equal_runs_are_not():
    assert tl.compare([0.75, 0.5], [0.5, 0.25]).clear
    assert not tl.compare([0.5, 0.25], [0.5, 0.25]).clear


def test_about_one_in_twenty_true_zeros_looks_clear():
    rng = np.random.default_rng(0)
    share = np.mean([tl.compare(rng.normal(size=5)).clear for _ in range(4000)])
    assert abs(share - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 4000)  # four standard errors of the share


def test_the_sentence_says_mean_spread_runs_interval_verdict_and_what_it_would_take():
    found = tl.compare([3.0, 4.0, 9.0])
    low, high = stats.ttest_1samp([3.0, 4.0, 9.0], 0).confidence_interval(0.95)
    assert f"{found:.1f}" == (f"+5.3 ± 3.2 (n = 3, 95 %: {low:+.1f} to {high:+.1f}): not clear (would need 1 more run)")
    assert str(tl.compare([0.3, 0.31, 0.29])).endswith("): clear")


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ([0.5], [0.4], "at least 2 pairs"),
        ([0.5, 0.6, 0.7], [0.4], "(1,)"),
        ([[0.5, 0.6]], 0.0, "(1, 2)"),
        ([0.5, math.nan], [0.4, 0.3], "nan"),
    ],
)
def test_what_is_no_pairs_of_runs_is_refused_by_name(first, second, named):
    with pytest.raises(tl.DataError) as error:
        tl.compare(first, second)
    assert named in str(error.value)


def test_a_spread_is_mean_and_standard_deviation_with_n_minus_1():
    values = [0.1, 0.4, 0.4]
    assert tl.spread(values, ".4f") == f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"
