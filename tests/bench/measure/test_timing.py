import gc
import itertools
import math
import time

import pytest

from sslbench.bench.measure import timing
from sslbench.bench.measure.timing import HostClock, time_steps, warm_up, warm_up_until_steady


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


def test_steps_end_when_they_are_enough():
    clock, asked = HostClock(), []
    time_steps(
        lambda: None,
        clock,
        steps=None,
        until=math.inf,
        on_step=lambda done: None,
        enough=lambda done: asked.append(done) or done == 4,
    )
    assert asked == [1, 2, 3, 4]
    assert clock.finished_seconds() == clock.samples_seconds()
    assert len(clock.samples_seconds()) == 4


class SimulatedTime:
    """Stands in for the module `time`: passes only while a step says so."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def perf_counter_ns(self):
        return round(self.seconds * 1e9)


@pytest.fixture
def simulated(monkeypatch):
    stand_in = SimulatedTime()
    monkeypatch.setattr(timing, "time", stand_in)
    return stand_in


def taking(simulated, course):
    """A step that takes each of these seconds in turn, then the last again and again."""
    left, last = iter(course), course[-1]

    def step():
        simulated.seconds += next(left, last)

    return step


def warmed(step, *, until=math.inf):
    told = []
    done, steady = warm_up_until_steady(step, HostClock(), until=until, negligible=0.1, on_step=told.append)
    assert told == list(range(1, done + 1))
    return done, steady


def test_warm_up_of_a_steady_step_takes_a_second(simulated):
    assert warmed(taking(simulated, [0.01])) == (100, True)


def test_warm_up_of_a_slow_step_takes_as_many_as_show_a_trend(simulated):
    assert warmed(taking(simulated, [0.5])) == (8, True)


def test_warm_up_goes_on_while_the_step_gets_faster(simulated):
    done, steady = warmed(taking(simulated, [0.5 * 0.9**at for at in range(30)]))
    assert steady
    assert done > 30


def test_warm_up_ends_with_its_time_and_says_what_is_known(simulated):
    falling = [2.0**-at for at in range(10)]
    assert warmed(taking(simulated, falling), until=1.4) == (2, None)
    falling = [2 - at / 10 for at in range(20)]
    assert warmed(taking(simulated, falling), until=simulated.seconds + 15.4) == (10, False)
