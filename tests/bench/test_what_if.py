from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.fit import Run, TraceSource, fit
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.prediction import predict
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.what_if import batch_sizes, with_what_if

CACHE = TraceCache(None)
RECIPE = resolve_recipe("bert-mini-mlm", {"seq_len": 64, "precision": "fp16"})
T4 = find_machine("t4")


@pytest.fixture(scope="module")
def records():
    plain = fit(RECIPE, [T4, find_machine("t4:2")], cache=CACHE, command=[])
    return with_what_if(plain, cache=CACHE, run=Run())


def settings_of(record, precision, checkpointing):
    (found,) = [
        each
        for each in record.what_if.settings
        if (each.precision, each.activation_checkpointing) == (precision, checkpointing)
    ]
    return found


@pytest.mark.slow
def test_the_cell_of_the_recipes_own_settings_is_the_record_itself(records):
    for record in records:
        own = settings_of(record, "fp16", False)
        cell = record.what_if.batch_sizes.index(RECIPE.batch_size)
        assert own.required_bytes[cell] == record.memory.required_bytes
        assert own.interval_bytes[cell] == tuple(map(round, record.memory.interval_bytes))
        assert own.verdicts[cell] == record.verdict
        assert own.step_seconds[cell] == record.time.step_seconds
        assert own.interval_seconds[cell] == record.time.interval_seconds
        assert own.samples_per_second[cell] == record.time.samples_per_second
        assert own.run_seconds[cell] == (record.bill.seconds if record.bill else None)
        assert own.max_batch_size == record.max_batch_size


@pytest.mark.slow
def test_another_cell_is_what_a_full_trace_of_those_settings_gives(records):
    changed = RECIPE.with_options(batch_size=32, precision="fp32", activation_checkpointing=True)
    alone = predict(TraceSource(changed, CACHE).trace(T4.device, 32), T4)
    found = settings_of(records[0], "fp32", True)
    cell = records[0].what_if.batch_sizes.index(32)
    assert found.required_bytes[cell] == alone.memory.required_bytes
    assert found.step_seconds[cell] == alone.time.step_seconds
    assert found.verdicts[cell] == alone.verdict


@pytest.mark.slow
def test_the_grid_has_the_machines_precisions_and_ends_beyond_what_fits(records):
    for record in records:
        grid = record.what_if
        pairs = [(each.precision, each.activation_checkpointing) for each in grid.settings]
        assert pairs == [("fp32", False), ("fp32", True), ("fp16", False), ("fp16", True)]  # a T4 has no bf16 or tf32
        for each in grid.settings:
            assert each.unknown == [""] * len(grid.batch_sizes)
            fitting = [
                batch
                for batch, verdict in zip(grid.batch_sizes, each.verdicts, strict=True)
                if verdict != "does-not-fit"
            ]
            assert max(fitting) <= each.max_batch_size
            assert all(
                first < second for first, second in pairwise(each.required_bytes[2:])
            )  # below, the allocator rounds


@pytest.mark.slow
def test_checkpointing_holds_less_and_takes_longer(records):
    off, on = (settings_of(records[0], "fp32", checkpointing) for checkpointing in (False, True))
    assert on.max_batch_size > off.max_batch_size
    assert all(first < second for first, second in zip(off.step_seconds, on.step_seconds, strict=True))


@given(own=st.integers(1, 10_000), largest=st.integers(0, 10**7))
def test_the_batches_of_a_grid(own, largest):
    sizes = batch_sizes(own, largest)
    assert own in sizes
    assert sizes == sorted(set(sizes))
    assert 2 <= len(sizes) <= 10
    assert max(own, largest) < sizes[-1] <= 2 * max(own, largest)


@given(passes=st.integers(1, 100), micro=st.integers(1, 100), largest=st.integers(0, 10**6))
def test_batches_can_be_divided_among_the_passes_of_an_accumulated_step(passes, micro, largest):
    sizes = batch_sizes(passes * micro, largest, divisor=passes)
    assert len(sizes) >= 2
    assert not any(batch % passes for batch in sizes)


FACTORY = """
import torch

def build(device{parameter}):
    model = torch.nn.Linear(8, 8, device=device)
    def step():
        x = torch.randn({batch}, 8, device=device)
        if len(x) > 40:
            raise ValueError("at most 40")
        model(x).sum().backward()
        model.zero_grad()
    return step
"""


def factory_grid(tmp_path, parameter, batch):
    path = tmp_path / "my_step.py"
    path.write_text(FACTORY.format(parameter=parameter, batch=batch), encoding="utf-8")
    plain = fit(resolve_recipe(f"{path}:build", {}), [T4], cache=CACHE, command=[])
    return with_what_if(plain, cache=CACHE, run=Run())[0]


def test_of_a_step_of_ones_own_only_the_batch_varies_and_a_batch_that_fails_says_why(tmp_path):
    record = factory_grid(tmp_path, ", batch_size=32", "batch_size")
    (found,) = record.what_if.settings
    own = record.what_if.batch_sizes.index(32)
    assert found.required_bytes[own] == record.memory.required_bytes
    assert found.step_seconds[own] == record.time.step_seconds
    for batch, verdict, unknown in zip(record.what_if.batch_sizes, found.verdicts, found.unknown, strict=True):
        assert verdict == (None if batch > 40 else "fits")
        assert unknown == "" if batch <= 40 else "at most 40" in unknown


def test_a_factory_without_a_batch_has_no_grid(tmp_path):
    record = factory_grid(tmp_path, "", "4")
    assert record.what_if is None
    assert "batch_size" in record.unknown["what_if"]
