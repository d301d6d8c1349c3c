"""Timing calls in blocks, and leaving out those that others disturbed."""

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.probe.queued import queued_seconds
from sslbench.bench.probe.timing import FEWEST_BLOCKS, UNDISTURBED, time_call, undisturbed

CPU = torch.device("cpu")


def test_it_is_as_long_as_the_call_takes():
    samples = time_call(lambda: time.sleep(0.003), CPU, seconds=0.05)
    assert len(samples) >= FEWEST_BLOCKS
    assert all(sample >= 0.003 for sample in samples)


def test_short_calls_are_timed_many_at_a_time():
    calls = 0

    def call():
        nonlocal calls
        calls += 1

    samples = time_call(call, CPU, seconds=0.0)
    assert len(samples) <= FEWEST_BLOCKS
    assert calls > 1000
    assert all(0 < sample < 1e-4 for sample in samples)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=20))
def test_what_is_left_is_the_least_disturbed(shares):
    samples = [1.0 + place for place in range(len(shares))]  # so that a sample tells its place
    queued = [0.0]
    for sample, share in zip(samples, shares, strict=True):
        queued.append(queued[-1] + share * sample)
    left = undisturbed(samples, queued)
    assert left == sorted(left)
    assert len(left) >= min(len(samples), FEWEST_BLOCKS)
    dropped = [share for sample, share in zip(samples, shares, strict=True) if sample not in left]
    kept = [shares[int(sample - 1)] for sample in left]
    assert all(share > 0.99 * UNDISTURBED for share in dropped)
    assert min(dropped, default=1.0) > max(kept) - 1e-9


def test_a_disturbed_block_is_left_out():
    assert undisturbed([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]) == [1.0, 2.0, 3.0, 5.0]


def test_waiting_of_all_threads_is_added_up(tmp_path):
    for thread, text in enumerate(["100 2000000000 5", "7 500000000 1", "gone", ""]):
        (tmp_path / str(thread)).mkdir()
        (tmp_path / str(thread) / "schedstat").write_text(text)
    assert queued_seconds(tmp_path) == pytest.approx(2.5)
    assert queued_seconds(tmp_path / "missing") == 0
    assert queued_seconds() >= 0
