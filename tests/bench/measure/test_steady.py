"""Warm-up and the number of steps are decided on series whose course is known."""

import math
import statistics
import time

import numpy as np
import pytest
import torch
import torch._dynamo.utils
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measure import steady
from sslbench.bench.measure.steady import Precision, Settling, half_width, is_steady, marks_of_torch

seeds = st.integers(0, 2**32)


def noisy(levels, *, share, seed):
    """The levels with normal noise of this share of each."""
    return (np.array(levels) * (1 + share * np.random.default_rng(seed).standard_normal(len(levels)))).tolist()


def first_steady(series, negligible=0.005):
    return next((count for count in range(1, len(series) + 1) if is_steady(series[:count], negligible)), None)


@given(seeds)
def test_a_falling_time_is_not_steady_and_one_that_has_fallen_is(seed):
    falling = noisy([1 + 2 ** -(at / 8) for at in range(200)], share=0.002, seed=seed)
    count = first_steady(falling)
    assert count is not None
    assert statistics.median(falling[:count][-4:]) < 1.05  # 100 % above at first
    assert is_steady(falling[:16], 0.005) is False


@given(seeds, st.floats(0, 0.2), st.floats(1e-6, 1e3))
def test_noise_and_slow_single_steps_are_no_trend(seed, share, level):
    series = noisy([level] * 40, share=share, seed=seed)
    series[seed % 40] *= 20
    assert first_steady(series) <= 20


@given(st.lists(st.floats(1e-6, 1e3), max_size=7))
def test_a_few_steps_cannot_tell(series):
    assert is_steady(series, 0.005) is None


def test_a_change_that_is_negligible_is_none():
    series = [1 - at * 1e-4 for at in range(16)]
    assert is_steady(series, 0.005)
    assert is_steady(series, 1e-5) is False


def test_what_was_before_torch_compiled_is_not_looked_at():
    layer = torch.compile(torch.nn.Linear(4, 4), backend="aot_eager")
    settling = Settling(0.005)
    before = marks_of_torch()
    for _ in range(10):
        settling.add(1.0)
    assert settling.steady()
    layer(torch.ones(2, 4))
    assert marks_of_torch() != before
    settling.add(1.0)
    assert settling.steady() is None
    torch._dynamo.reset()


@given(st.lists(st.floats(1e-6, 1e3), max_size=4))
def test_the_width_of_a_few_samples_is_not_known(samples):
    assert half_width(samples) == math.inf


@given(st.lists(st.floats(1e-6, 1e3), min_size=5, max_size=200), st.floats(1e-3, 1e3))
def test_half_width_is_a_share(samples, factor):
    width = half_width(samples)
    assert 0 <= width <= (max(samples) - min(samples)) / 2 / statistics.median(samples)
    assert half_width([factor * sample for sample in samples]) == pytest.approx(width, rel=1e-6, abs=1e-9)


def test_half_width_of_independent_samples_is_that_of_normal_theory():
    widths = [half_width(noisy([1.0] * 400, share=0.01, seed=seed)) for seed in range(50)]
    expected = 1.96 * 1.2533 * 0.01 / 20  # 1.2533: standard error of a normal sample's median over its mean's
    assert statistics.median(widths) == pytest.approx(expected, rel=0.15)


def test_noise_that_lasts_is_worth_fewer_samples():
    lasting = np.repeat(noisy([1.0] * 20, share=0.01, seed=2), 20)
    shuffled = np.random.default_rng(3).permutation(lasting)
    assert half_width(lasting.tolist()) > 2 * half_width(shuffled.tolist())


def asked(samples, *, tolerance, until=3600.0):
    """Counts of steps after which `Precision` says enough, given that long to look; and it."""
    seen = []
    precision = Precision(lambda: seen, tolerance=tolerance, until=time.monotonic() + until)
    for sample in samples:
        seen.append(sample)
        if precision.reached(len(seen)):
            break
    return len(seen), precision


@pytest.fixture
def _no_shortest_time(monkeypatch):
    monkeypatch.setattr(steady, "SHORTEST_TIMED_SECONDS", 0.0)


@pytest.mark.usefixtures("_no_shortest_time")
@pytest.mark.parametrize("tolerance", [0.02, 0.01, 0.005])
def test_steps_end_when_the_median_is_known(tolerance):
    samples = noisy([1.0] * 20_000, share=0.1, seed=4)
    done, precision = asked(samples, tolerance=tolerance)
    assert half_width(samples[:done]) <= tolerance
    needed = (1.96 * 1.2533 * 0.1 / tolerance) ** 2
    assert needed / 3 < done < 3 * needed
    assert precision.expected == done


@pytest.mark.usefixtures("_no_shortest_time")
def test_steps_without_noise_are_the_fewest():
    assert asked([1.0] * 100, tolerance=0.01)[0] == 10


@pytest.mark.usefixtures("_no_shortest_time")
def test_what_is_expected_ends_with_the_budget():
    samples = noisy([1.0] * 20, share=0.5, seed=5)
    done, precision = asked(samples, tolerance=1e-4, until=30)
    assert done == 20
    assert 17 < precision.expected < 60


def test_steps_go_on_for_a_while():
    assert asked([1e-6] * 1000, tolerance=0.01)[0] == 1000
