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


@given(st.lists(st.tuples(st.floats(1e-4, 1), st.floats(0, 0.5)), min_size=1, max_size=20))
def test_what_is_left_is_the_least_disturbed(blocks):
    queued = [0.0]
    for sample, share in blocks:
        queued.append(queued[-1] + share * sample)
    samples = [sample for sample, _ in blocks]
    left = undisturbed(samples, queued)
    assert min(len(samples), FEWEST_BLOCKS) <= len(left) <= len(samples)
    if all(share < 0.9 * UNDISTURBED for _, share in blocks):
        assert left == samples
    if len(left) > FEWEST_BLOCKS:
        assert max(left) <= max(sample for sample, share in blocks if share <= 1.1 * UNDISTURBED)


def test_a_gpu_that_has_not_finished_all_blocks():
    assert undisturbed([1.0], [0.0, 0.0, 0.0]) == [1.0]
    assert undisturbed([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]) == [1.0, 2.0, 3.0, 5.0]


def test_waiting_of_all_threads_is_added_up(tmp_path):
    for thread, text in enumerate(["100 2000000000 5", "7 500000000 1", "gone", ""]):
        (tmp_path / str(thread)).mkdir()
        (tmp_path / str(thread) / "schedstat").write_text(text)
    assert queued_seconds(tmp_path) == pytest.approx(2.5)
    assert queued_seconds(tmp_path / "missing") == 0
    assert queued_seconds() >= 0
