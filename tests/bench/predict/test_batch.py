from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import RecipeError
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.batch import SizeModel, _largest, max_batch_size
from sslbench.bench.predict.replay import replay_of
from sslbench.bench.predict.scaled import ScaledTrace
from sslbench.bench.predict.workspace import workspace_bytes
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe

GIB = 2**30
RECIPES = {
    "bert-mini-mlm": resolve_recipe("bert-mini-mlm", {"seq_len": 64}),
    "simclr-resnet18": resolve_recipe("simclr-resnet18", {"image_size": 64}),  # NT-Xent is quadratic in the batch
}


@pytest.fixture(scope="module", params=RECIPES)
def trace_at(request):
    made = {}

    def trace(batch):
        if batch not in made:
            made[batch] = trace_recipe(RECIPES[request.param].with_options(batch_size=batch), "cuda", (8, 0))
        return made[batch]

    return trace


@pytest.mark.parametrize("batch", [2, 3, 7, 100, 4096])
def test_sizes_at_any_batch_are_those_of_a_full_trace(trace_at, batch):
    model = SizeModel(trace_at, 8)
    sizes, events = model(batch)
    full = trace_at(batch)
    assert model.workspace(batch) == workspace_bytes(full)
    assert events == full.events
    assert sizes == [storage.size for storage in full.storages]


@pytest.mark.parametrize("batch", [2, 3, 7, 8, 100, 4096])
def test_a_scaled_trace_is_the_full_one(trace_at, batch):
    scaled, full = ScaledTrace(trace_at, 8)(batch), trace_at(batch)
    assert [scaled.kinds[call.kind] for call in scaled.calls] == [full.kinds[call.kind] for call in full.calls]
    assert (scaled.batch_size, scaled.storages, scaled.events) == (batch, full.storages, full.events)


def test_a_step_that_takes_another_road_is_traced_at_every_batch(trace_at):
    asked = []

    def shortened(batch):
        asked.append(batch)
        trace = trace_at(batch)
        return trace if batch < 16 else replace(trace, calls=trace.calls[:-1])

    scaled = ScaledTrace(shortened, 8)
    assert scaled(100).calls == shortened(100).calls
    assert 100 in asked


@pytest.mark.parametrize("memory", [1 * GIB, 2 * GIB, 8 * GIB])
def test_the_largest_batch_fits_and_the_next_one_does_not(trace_at, memory):
    machine = find_machine("rtx-4090", memory_bytes=memory)
    largest = max_batch_size(trace_at, 8, machine)
    assert largest > 1

    def full_trace_fits(batch):
        return replay_of(trace_at(batch), machine).fits()

    assert full_trace_fits(largest)
    assert not full_trace_fits(largest + 1)


def test_nothing_fits_a_card_that_is_too_small(trace_at):
    assert max_batch_size(trace_at, 8, find_machine("rtx-4090", memory_bytes=GIB // 4)) == 0


def test_a_batch_of_one_is_asked_for_last():
    def trace_at(batch):
        if batch == 1:
            raise RecipeError("NT-Xent needs 2")
        return trace_recipe(RECIPES["bert-mini-mlm"].with_options(batch_size=batch), "cuda", (8, 0))

    assert max_batch_size(trace_at, 8, find_machine("rtx-4090", memory_bytes=GIB // 4)) == 0


@given(largest=st.integers(2, 5000), guess=st.integers(2, 10_000))
def test_a_guess_however_wrong_ends_at_the_largest(largest, guess):
    assert _largest(lambda batch: batch <= largest, guess) == largest
