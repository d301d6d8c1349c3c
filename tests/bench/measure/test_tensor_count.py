from itertools import accumulate, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.build import step_builder
from sslbench.bench.measure.marks import Stretch
from sslbench.bench.measure.tensor_count import count_tensors, highest_in, highest_sum
from sslbench.bench.predict.explain import phase_peaks
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.tracer import trace_step

FLOAT = 4


@given(st.lists(st.integers(-100, 100)))
def test_highest_sum_is_the_highest_prefix(changes):
    assert highest_sum(changes) == max(sum(changes[:end]) for end in range(len(changes) + 1))


@given(st.lists(st.integers(-100, 100), max_size=30), st.data())
def test_stretches_between_them_see_every_level(changes, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(changes)), max_size=5)))
    edges = [0, *cuts, len(changes)]
    timed = list(enumerate(changes))
    peaks = [highest_in(timed, [Stretch("forward", start, end)])["forward"] for start, end in pairwise(edges)]
    levels = [0, *accumulate(changes)]
    assert peaks == [max(0, *levels[start : end + 1]) for start, end in pairwise(edges)]
    assert max(peaks) == highest_sum(changes)


def test_every_byte_of_a_step_known_by_hand():
    # x and its double are held while the sum, one float, is made
    def build():
        x = torch.ones(1000)

        def step():
            return (x + x).sum()

        return step

    assert count_tensors(build).peak_bytes == FLOAT * (1000 + 1000 + 1)


def test_garbage_of_an_earlier_count_does_not_count():
    kept = []

    def littering():
        cycle = [torch.ones(500)]
        cycle.append(cycle)  # for Python's garbage collector alone
        kept.append(cycle)
        return lambda: None

    def build():
        x = torch.ones(1000)

        def step():
            return (x + x).sum()

        return step

    count_tensors(littering)
    kept.clear()
    assert count_tensors(build).peak_bytes == FLOAT * (1000 + 1000 + 1)


def test_the_second_step_holds_what_the_first_made():
    def build():
        state = []

        def step():
            if not state:
                state.append(torch.ones(5000))
            torch.ones(1000)

        return step

    assert count_tensors(build).peak_bytes == FLOAT * (5000 + 1000)


def test_phases_of_a_step_known_by_hand():
    # the product of 1000 floats keeps what it was made from; its gradient is made anew in every step
    def build():
        weight = torch.ones(1000, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.1)

        def step():
            (weight * weight).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            torch.ones(3000)

        return step

    peaks = count_tensors(build).phase_peaks
    assert peaks["forward"] == FLOAT * (1000 + 1000 + 1)
    assert peaks["optimizer"] == FLOAT * (1000 + 1000 + 2)  # SGD updates in place; the loss and its gradient go first
    assert peaks["other"] == FLOAT * (1000 + 3000)


@pytest.mark.slow
def test_updates_that_are_skipped_at_first_are_waited_for():
    def build():
        weight = torch.ones(1000, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
        calls = []

        def step():
            calls.append(None)
            weight.sum().backward()
            if len(calls) > 3:
                optimizer.step()
            optimizer.zero_grad()

        return step

    assert count_tensors(build).phase_peaks["other"] == FLOAT * (1000 + 1000 + 2)  # the loss and its gradient go
    waited = count_tensors(build, ["optimizer"]).phase_peaks
    assert waited["other"] == FLOAT * (1000 + 1000 + 1000)  # with the momentum that the first update made
    assert waited["forward"] == FLOAT * (1000 + 1000 + 2)  # the loss, and the gradient that backward begins with
    assert "optimizer" not in count_tensors(lambda: lambda: torch.ones(1), ["optimizer"]).phase_peaks


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bert-mini-mlm", {"batch_size": 2, "seq_len": 16, "stage": "infer"}),
        pytest.param(
            "bert-mini-mlm",
            {"batch_size": 4, "seq_len": 16, "options": {"accumulation": 2}},
            marks=pytest.mark.slow,
        ),
        pytest.param("byol-resnet18", {"batch_size": 2, "image_size": 32}, marks=pytest.mark.slow),
    ],
)
def test_phases_hold_what_a_trace_says(name, changes):
    build = step_builder(resolve_recipe(name, changes))
    counted = count_tensors(lambda: build(torch.device("cpu"))).phase_peaks
    traced = phase_peaks(trace_step(build, "cpu"))
    del traced["build"]
    assert {phase: peak for phase, peak in counted.items() if phase != "other"} == traced
