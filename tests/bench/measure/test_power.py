import time

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measure.energy import SHORTEST_SPAN_SECONDS
from sslbench.bench.measure.power import SOURCE, PowerMeter, integral_joules

seconds = st.lists(st.floats(0.01, 10), min_size=1, max_size=20)
watts = st.floats(0, 1000)


@given(seconds, watts, watts)
def test_power_that_rises_evenly_gives_its_mean_times_the_span(steps, first, last):
    times = [0.0]
    for step in steps:
        times.append(times[-1] + step)
    span = times[-1]
    samples = [(t, first + (last - first) * t / span) for t in times]
    assert integral_joules(samples) == pytest.approx((first + last) / 2 * span)


@given(st.lists(st.tuples(st.floats(0, 100), watts), min_size=1, max_size=20))
def test_energy_lies_between_the_least_and_the_most_power(samples):
    samples = sorted(samples)
    span = samples[-1][0] - samples[0][0]
    power = [watt for _, watt in samples]
    assert min(power) * span * (1 - 1e-9) <= integral_joules(samples) <= max(power) * span * (1 + 1e-9)


def test_samples_are_taken_until_it_is_stopped(monkeypatch):
    monkeypatch.setitem(SHORTEST_SPAN_SECONDS, "nvml", 0.0)
    calls = []

    def read():
        calls.append(time.monotonic())
        return 250.0

    meter = PowerMeter(read, interval_seconds=0.001)
    meter.start()
    while len(calls) < 5:
        pass
    meter.stop()
    reading = meter.reading()
    assert reading.source == SOURCE
    assert reading.joules == pytest.approx(250 * (calls[-1] - calls[0]), rel=0.2)
    count = len(calls)
    meter.stop()
    assert len(calls) == count


def test_less_than_the_counter_needs_is_no_energy():
    meter = PowerMeter(lambda: 250.0)
    meter.start()
    meter.stop()
    assert meter.reading().joules is None
    assert "the counter needs 1 s" in meter.reading().reason


def test_power_that_can_no_longer_be_read_is_no_energy():
    def read():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    meter = PowerMeter(read)
    meter.start()
    meter.stop()
    assert meter.reading().joules is None
    assert meter.reading().reason == "NVML did not tell the GPU's power: GPU is lost"


def test_one_that_never_began_says_so():
    meter = PowerMeter(lambda: 250.0)
    meter.stop()
    assert meter.reading().reason == "the timed steps were not reached"
