import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.gate.judge import judged_ratio
from sslbench.bench.gate.ratio import between_runs, ratio_of_launches, ratio_of_runs, ratio_of_values

TIMES = st.lists(st.floats(0.01, 0.1), min_size=8, max_size=40)


def noisy(seed, count, level=1.0, spread=0.05):
    return (level * np.random.default_rng(seed).lognormal(0, spread, count)).tolist()


@given(TIMES, st.floats(0.2, 5))
def test_a_run_and_its_multiple_differ_by_the_factor(times, factor):
    ratio = ratio_of_runs([times], [[factor * time for time in times]], 0.01)
    assert ratio.change == pytest.approx(factor - 1, abs=1e-9)
    assert ratio.interval[0] <= ratio.change <= ratio.interval[1]


@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=4))
def test_swapping_the_sides_inverts_the_ratio(launches):
    first, second = zip(*launches, strict=True)
    there, back = ratio_of_launches(first, second), ratio_of_launches(second, first)
    assert (1 + there.change) * (1 + back.change) == pytest.approx(1)
    assert (1 + there.interval[0]) * (1 + back.interval[1]) == pytest.approx(1, rel=0.01)


def test_a_drift_that_both_sides_share_is_no_difference():
    drift = np.linspace(1, 3, 60)
    ratio = ratio_of_launches([(drift * noisy(1, 60)).tolist()], [(drift * noisy(2, 60)).tolist()])
    assert abs(ratio.change) < 0.03
    assert ratio.interval[0] < 0 < ratio.interval[1]


def test_launches_are_what_the_interval_counts():
    """By hand: mean 2 %, standard deviation 2 %, t = 4.303 of 2 degrees of freedom, whatever the rounds are."""
    new = [[math.exp(change)] * rounds for change, rounds in ((0.0, 9), (0.02, 4), (0.04, 100))]
    ratio = ratio_of_launches([[1.0] * len(rounds) for rounds in new], new)
    reach = 4.303 * 0.02 / math.sqrt(3)
    assert ratio.change == pytest.approx(math.expm1(0.02))
    assert ratio.interval == pytest.approx((math.expm1(0.02 - reach), math.expm1(0.02 + reach)), rel=1e-3)


def test_one_odd_process_is_no_difference():
    """All its life 6.4 % slower: with one launch that is a finding, among six it is not."""
    odd, usual = (noisy(1, 60, 1.064, 0.01), noisy(2, 60, 1.0, 0.01))
    assert ratio_of_launches([noisy(3, 60, 1.0, 0.01)], [odd]).interval[0] > 0.04
    among = ratio_of_launches([noisy(9, 60, 1.0, 0.01)] * 6, [odd, *[usual] * 5])
    assert among.interval[0] < 0 < among.change < 0.025


def simulated(seed, between, *, true=0.0, rounds=20, launches=6, within=0.08):
    """Both sides of a session: launches that differ, and rounds whose noise has heavy tails."""
    random = np.random.default_rng(seed)
    moved = true + random.normal(0, between, (launches, 1))
    logs = moved + within * random.standard_t(3, (launches, rounds))
    return [[1.0] * rounds] * launches, np.exp(logs).tolist()


@pytest.mark.parametrize("between", [0.0, 0.01, 0.04])
def test_95_percent_of_the_intervals_hold_the_truth_whatever_launches_do(between):
    """Of 400; 3 standard deviations of the count are 13."""
    intervals = [ratio_of_launches(*simulated(seed, between, true=0.05)).interval for seed in range(400)]
    assert 367 <= sum(low <= math.expm1(0.05) <= high for low, high in intervals) <= 393


def test_launches_that_do_not_differ_are_hardly_ever_inconclusive():
    outcomes = [judged_ratio(ratio_of_launches(*simulated(seed, 0.0)), 0.025)[0] for seed in range(200)]
    assert outcomes.count("pass") >= 190
    assert outcomes.count("regression") == 0


def test_5_percent_are_found_where_launches_differ_by_1_percent():
    outcomes = [judged_ratio(ratio_of_launches(*simulated(seed, 0.01, true=0.05)), 0.025)[0] for seed in range(200)]
    assert outcomes.count("regression") >= 170


def test_the_permutation_test_is_exact_where_all_arrangements_can_be_counted():
    """Five of a side, so that a block is a step: 2 of the 252 arrangements keep the sides apart."""
    base, new = [1.0, 1.01, 1.02, 1.03, 1.04], [1.1, 1.12, 1.14, 1.11, 1.13]
    together = np.log(base + new)
    found = abs(np.median(together[5:]) - np.median(together[:5]))
    exact = np.mean(
        [
            abs(np.median(np.delete(together, chosen)) - np.median(together[list(chosen)])) >= found * (1 - 1e-12)
            for chosen in itertools.combinations(range(10), 5)
        ]
    )
    assert ratio_of_runs([base], [new], 0.0).p_value == pytest.approx(exact, abs=0.01)


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
    assert ratio_of_launches([[1.0, 1.1]], [[1.0, 1.1]]).interval is None
