"""Timing calls in blocks, and leaving out those that others disturbed."""

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.probe.queued import queued_seconds
from sslbench.bench.probe.timing import FEWEST_BLOCKS, UNDISTURBED, Sample, time_call, undisturbed

CPU = torch.device("cpu")


def test_it_is_as_long_as_the_call_takes():
    samples = time_call(lambda: time.sleep(0.003), CPU, seconds=0.05)
    assert len(samples) >= FEWEST_BLOCKS
    assert all(sample.seconds >= 0.003 for sample in samples)


def test_short_calls_are_timed_many_at_a_time():
    calls = 0

    def call():
        nonlocal calls
        calls += 1

    (sample,) = time_call(call, CPU, seconds=0.0)
    assert calls > 1000
    assert 0 < sample.seconds < 1e-4


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=20))
def test_what_is_left_is_the_least_disturbed(shares):
    samples = [Sample(1.0 + place, share) for place, share in enumerate(shares)]
    left = undisturbed(samples)
    assert left
    assert left == sorted(left)
    kept = [sample.queued for sample in samples if sample.seconds in left]
    dropped = [sample.queued for sample in samples if sample.seconds not in left]
    assert min(dropped, default=1.0) > max(UNDISTURBED, *kept)
    assert max(kept) <= UNDISTURBED or len(set(kept)) == 1


def test_nothing_is_left_of_nothing():
    assert undisturbed([]) == []


def test_waiting_of_all_threads_is_added_up(tmp_path):
    for thread, text in enumerate(["100 2000000000 5", "7 500000000 1", "gone", ""]):
        (tmp_path / str(thread)).mkdir()
        (tmp_path / str(thread) / "schedstat").write_text(text)
    assert queued_seconds(tmp_path) == pytest.approx(2.5)
    assert queued_seconds(tmp_path / "missing") == 0
    assert queued_seconds() >= 0
