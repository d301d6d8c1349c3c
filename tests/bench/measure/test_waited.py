import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sslbench.bench.measure.timing import HostClock
from sslbench.bench.measure.waited import undisturbed_seconds

linux = pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="only Linux counts it")
BUSY = "while True: pass"


def work():
    return sum(range(300_000))


def test_only_one_threads_waits_are_taken_off():
    assert undisturbed_seconds([2.0, 3.0], [0.5, 0.0], 1) == [1.5, 3.0]
    assert undisturbed_seconds([2.0, 3.0], [0.5, 0.0], 2) == [2.0, 3.0]
    assert undisturbed_seconds([2.0, 3.0], [], 1) == [2.0, 3.0]


@linux
def test_a_step_that_sleeps_waits_for_nothing():
    """Sleeping is the step's own: the thread is not ready to run."""
    clock = HostClock()
    clock.time(lambda: time.sleep(0.05))
    (sample,), (waited,) = clock.samples_seconds(), clock.waited_seconds()
    assert sample >= 0.05
    assert waited < 0.04


@linux
def test_what_a_neighbour_on_the_same_processor_takes_is_known():
    """Two programs on one processor: each step takes about twice its processor time, and the other half was waited."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    neighbour = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        time.sleep(0.3)
        clock, before = HostClock(), time.thread_time()
        for _ in range(60):
            clock.time(work)
        processor = time.thread_time() - before
    finally:
        neighbour.kill()
        neighbour.wait()
        os.sched_setaffinity(0, allowed)
    samples, waited = clock.samples_seconds(), clock.waited_seconds()
    assert sum(waited) > 0.1 * sum(samples)
    assert sum(undisturbed_seconds(samples, waited, 1)) == pytest.approx(processor, rel=0.4)
    assert min(undisturbed_seconds(samples, waited, 1)) >= 0
