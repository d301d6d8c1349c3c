import gc
import itertools
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measure.timing import HostClock, drift, median_interval, time_steps, warm_up

seconds = st.floats(1e-6, 1e3)


@pytest.mark.parametrize(("count", "rank"), [(5, 1), (7, 1), (8, 2), (11, 3), (20, 6), (100, 42)])
def test_ranks_of_the_published_table(count, rank):
    # David and Nagaraja, Order Statistics, 7.1: the largest k with P(Binomial(n, 1/2) < k) <= 0.05
    tail = [sum(math.comb(count, lower) for lower in range(k)) / 2**count for k in (rank, rank + 1)]
    assert tail[0] <= 0.05 < tail[1]
    assert median_interval(range(1, count + 1)) == (rank, count + 1 - rank)


@given(st.lists(seconds, max_size=4))
def test_too_few_samples_have_no_interval(samples):
    assert median_interval(samples) is None


@given(st.lists(seconds, min_size=5, max_size=60), st.randoms())
def test_the_interval_holds_the_sample_median_in_any_order(samples, random):
    low, high = median_interval(samples)
    middle = sorted(samples)
    assert low <= middle[(len(samples) - 1) // 2] <= middle[len(samples) // 2] <= high
    random.shuffle(samples)
    assert median_interval(samples) == (low, high)


@pytest.mark.parametrize("count", [999, 1000, 1001, 1002, 5000])
def test_the_normal_approximation_continues_the_exact_ranks(count):
    low, high = median_interval(range(count))
    assert (high - low) / 2 == pytest.approx(1.645 * math.sqrt(count) / 2, abs=1.5)


def test_drift_is_seen_and_noise_is_not():
    assert drift([1.0] * 10 + [2.0] * 10) == 1.0
    assert drift([1.0, 2.0] * 10) is None
    assert drift([1.0, 2.0]) is None


def test_every_step_is_a_sample_and_the_collector_runs_between_them_only():
    inside, between = [], []
    clock = HostClock()
    time_steps(
        lambda: inside.append(gc.isenabled()),
        clock,
        steps=7,
        until=math.inf,
        on_step=between.append,
    )
    assert inside == [False] * 7
    assert between == list(range(1, 8))
    assert len(clock.samples_seconds()) == 7
    assert all(sample > 0 for sample in clock.samples_seconds())
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_spent_budget_still_times_one_step():
    clock = HostClock()
    time_steps(lambda: None, clock, steps=7, until=time.monotonic() - 1, on_step=lambda done: None)
    assert len(clock.samples_seconds()) == 1


def test_a_raising_step_leaves_the_collector_on():
    with pytest.raises(ZeroDivisionError):
        time_steps(lambda: 1 / 0, HostClock(), steps=2, until=math.inf, on_step=lambda done: None)
    assert gc.isenabled()


def test_warm_up_counts_its_steps():
    ran, told = itertools.count(), []
    warm_up(lambda: next(ran), 3, told.append)
    assert next(ran) == 3
    assert told == [1, 2, 3]
