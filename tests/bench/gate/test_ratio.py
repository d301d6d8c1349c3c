import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.gate.ratio import between_runs, ratio_of_runs, ratio_of_turns, ratio_of_values

TIMES = st.lists(st.floats(0.01, 0.1), min_size=8, max_size=40)


def noisy(seed, count, level=1.0, spread=0.05):
    return (level * np.random.default_rng(seed).lognormal(0, spread, count)).tolist()


@given(TIMES, st.floats(0.2, 5))
def test_a_run_and_its_multiple_differ_by_the_factor(times, factor):
    ratio = ratio_of_runs([times], [[factor * time for time in times]], 0.01)
    assert ratio.change == pytest.approx(factor - 1, abs=1e-9)
    assert ratio.interval[0] <= ratio.change <= ratio.interval[1]


@given(TIMES, TIMES)
def test_swapping_the_sides_inverts_the_ratio(first, second):
    there, back = ratio_of_turns(first, second), ratio_of_turns(second, first)
    assert (1 + there.change) * (1 + back.change) == pytest.approx(1)
    assert there.p_value == pytest.approx(back.p_value)


def test_a_drift_that_both_sides_share_is_no_difference():
    drift = np.linspace(1, 3, 60)
    ratio = ratio_of_turns((drift * noisy(1, 60)).tolist(), (drift * noisy(2, 60)).tolist())
    assert abs(ratio.change) < 0.03
    assert ratio.interval[0] < 0 < ratio.interval[1]


def test_the_permutation_test_is_exact_where_all_arrangements_can_be_counted():
    """Six pairs, all with the second larger: 2 of 2**6 arrangements of signs are as extreme."""
    base = [1.0] * 6
    ratio = ratio_of_turns(base, [1.1, 1.12, 1.14, 1.11, 1.13, 1.15])
    logs = np.log([1.1, 1.12, 1.14, 1.11, 1.13, 1.15])
    found = abs(np.median(logs))
    signs = itertools.product([-1, 1], repeat=6)
    exact = np.mean([abs(np.median(logs * sign)) >= found * (1 - 1e-12) for sign in signs])
    assert ratio.p_value == pytest.approx(exact, abs=0.01)


@pytest.mark.slow
def test_p_values_of_equal_sides_are_uniform_enough():
    small = sum(ratio_of_runs([noisy(seed, 60)], [noisy(seed + 1000, 60)], 0.0).p_value <= 0.1 for seed in range(100))
    assert 2 <= small <= 20


@pytest.mark.slow
def test_an_interval_of_95_percent_holds_the_truth():
    held = 0
    for seed in range(100):
        low, high = ratio_of_runs([noisy(seed, 100)], [noisy(seed + 500, 100, 1.1)], 0.0).interval
        held += low <= 0.1 <= high
    assert held >= 88


def test_repeats_say_how_much_runs_differ():
    """Welch-like by hand: two pairs of runs, pooled deviation with 2 degrees of freedom, t = 4.303."""
    base, new = [0.0, 0.02], [0.1, 0.12]
    deviation = math.sqrt((2 * 0.01**2 + 2 * 0.01**2) / 2)
    assert between_runs(base, new, 0.001) == pytest.approx(4.303 * deviation * math.sqrt(0.5 + 0.5))


def test_without_repeats_the_assumed_noise_holds():
    ratio = ratio_of_values([100.0], [110.0], 0.01)
    reach = 1.959964 * 0.01 * math.sqrt(2)
    assert ratio.change == pytest.approx(0.1)
    assert ratio.interval == pytest.approx((1.1 * math.exp(-reach) - 1, 1.1 * math.exp(reach) - 1))
    assert ratio.p_value is None


def test_too_few_samples_have_no_interval():
    assert ratio_of_runs([[1.0, 1.1]], [[1.0, 1.1]], 0.01).interval is None
    assert ratio_of_turns([1.0, 1.1], [1.0, 1.1]).interval is None
