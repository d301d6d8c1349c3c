"""Coverage is counted over seeded series whose true median is known; closed forms come from the cited papers."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.statistics import (
    BETWEEN_RUNS,
    block_length,
    drift,
    median_absolute_deviation,
    median_interval,
    paired_ratio,
    run_interval,
    student_t,
)

seconds = st.floats(1e-6, 1e3)


def autoregressive(random, count, neighbour):
    """(count,) stationary normal noise of median 0, with this correlation between neighbours."""
    noise, series = random.standard_normal(count + 200), np.zeros(count + 200)
    for at in range(1, len(series)):
        series[at] = neighbour * series[at - 1] + noise[at]
    return series[200:]


@given(st.lists(seconds, max_size=4))
def test_too_few_samples_have_no_interval(samples):
    assert median_interval(samples) is None
    assert run_interval(samples) is None


@given(st.lists(seconds, min_size=5, max_size=60), st.floats(1e-3, 1e3))
def test_the_interval_holds_the_median_and_scales_with_the_unit(samples, factor):
    low, high = median_interval(samples)
    assert min(samples) <= low <= statistics.median(samples) <= high <= max(samples)
    assert median_interval([factor * sample for sample in samples]) == pytest.approx((factor * low, factor * high))


@given(st.lists(seconds, min_size=5, max_size=60))
def test_a_runs_interval_is_wider_by_what_moves_between_runs(samples):
    median = statistics.median(samples)
    low, high = run_interval(samples)
    within = median_interval(samples)
    slack = 1e-9 * median
    assert low <= within[0] + slack
    assert high >= within[1] - slack
    assert high - median >= 1.64 * BETWEEN_RUNS * median
    assert low >= within[0] * (1 - 1.65 * BETWEEN_RUNS)


@pytest.mark.parametrize(("neighbour", "count"), [(0, 10), (0, 100), (0.3, 50), (0.6, 50), (0.6, 200)])
def test_about_90_percent_of_the_intervals_hold_the_true_median(neighbour, count):
    random = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        low, high = median_interval(autoregressive(random, count, neighbour))
        held += low <= 0 <= high
    assert 0.83 <= held / 200 <= 0.97


def test_order_matters_where_noise_lasts():
    lasting = np.repeat(np.random.default_rng(1).standard_normal(20), 20)
    shuffled = np.random.default_rng(2).permutation(lasting)
    widths = [high - low for low, high in (median_interval(lasting), median_interval(shuffled))]
    assert widths[0] > 2 * widths[1]


@pytest.mark.parametrize("neighbour", [0.3, 0.6, 0.9])
def test_block_length_meets_the_closed_form_of_an_autoregressive_series(neighbour):
    count = 10_000
    series = autoregressive(np.random.default_rng(3), count, neighbour)
    # Patton, Politis and White (2009), circular: (2 g^2 / d * n)^(1/3) with the sums of an AR(1) process
    expected = (6 * neighbour**2 / (1 - neighbour**2) ** 2 * count) ** (1 / 3)
    assert block_length(series) == pytest.approx(expected, rel=0.25)


def test_block_length_of_what_does_not_correlate_is_1():
    assert block_length(np.random.default_rng(4).standard_normal(1000)) == 1
    assert block_length(np.zeros(100)) == 1


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=5, max_size=300))
def test_a_block_is_at_most_a_third_of_any_series(values):
    assert 1 <= block_length(np.array(values)) <= math.ceil(len(values) / 3)


@pytest.mark.parametrize(("freedom", "value"), [(2, 2.92), (4, 2.132), (10, 1.812), (100, 1.66)])
def test_students_t_of_the_published_table(freedom, value):
    assert student_t(1.6449, freedom) == pytest.approx(value, rel=0.015)  # at 95 %


def test_many_samples_are_resampled_in_parts(monkeypatch):
    samples = np.random.default_rng(5).exponential(size=700)
    whole = median_interval(samples)
    monkeypatch.setattr("sslbench.bench.statistics._MOST_AT_ONCE", 5000)
    assert median_interval(samples) == whole


def test_median_absolute_deviation():
    assert median_absolute_deviation([1.0, 2.0, 3.0, 5.0, 100.0]) == 2.0
    assert median_absolute_deviation([1.0]) is None


def test_drift_is_seen_and_noise_is_not():
    assert drift([1.0] * 10 + [2.0] * 10) == 1.0
    assert drift([1.0, 2.0] * 10) is None
    assert drift([1.0, 2.0]) is None


TURNS = st.lists(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4), min_size=5, max_size=30)


@given(TURNS, st.floats(0.01, 100), st.lists(st.floats(0.1, 10), min_size=30, max_size=30))
def test_what_slows_both_turns_of_a_round_is_no_part_of_their_ratio(turns, ratio, drift):
    first = [[sample * slow for sample in turn] for turn, slow in zip(turns, drift, strict=False)]
    second = [[sample * ratio for sample in turn] for turn in first]
    found, (low, high) = paired_ratio(first, second)
    assert found == pytest.approx(ratio)
    assert low < ratio < high
    assert high / low < 1.03  # all that is left is what one run cannot show


@given(TURNS, TURNS)
def test_the_ratio_the_other_way_round_is_its_inverse(first, second):
    there, (low, high) = paired_ratio(first, second)
    back, _ = paired_ratio(second, first)
    assert there * back == pytest.approx(1)
    assert low <= there <= high


def test_few_rounds_have_a_ratio_without_an_interval():
    assert paired_ratio([[1.0], [2.0]], [[2.0], [4.0], [9.0]]) == (pytest.approx(2.0), None)
