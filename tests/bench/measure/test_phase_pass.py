"""Phases of steps that are run here: their seconds, their peaks, and why there are none."""

import re
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset

from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.phase_pass import PhaseClock, data_phase, median_seconds, set_peaks, set_phases
from sslbench.bench.resolve import resolve_recipe
from sslbench.kernels.data.loader import Batches

CPU = torch.device("cpu")
NAP = 0.01


def by_name(record):
    return {phase.name: phase for phase in record.phases}


def test_a_step_of_ones_own_in_phases(run_step):
    record = run_step(f"time.sleep({NAP})")
    phases = by_name(record)
    assert list(phases) == ["forward", "backward", "optimizer", "other"]
    assert phases["forward"].seconds >= NAP
    assert all(phase.seconds > 0 for phase in record.phases)
    weights, inputs = 4 * (64 * 64 + 64), 4 * 8 * 64
    assert all(weights + inputs < phase.peak_allocated_bytes for phase in phases.values())
    # gradients are born in backward and alive until they are zeroed, at the beginning of what follows the update
    assert phases["forward"].peak_allocated_bytes < 2 * weights < phases["backward"].peak_allocated_bytes
    assert phases["other"].peak_allocated_bytes > 2 * weights
    assert max(phase.peak_allocated_bytes for phase in phases.values()) <= record.memory.peak_allocated_bytes
    assert not [field for field in record.unknown if field.startswith("phases")]


@pytest.mark.slow
def test_the_timed_steps_carry_no_marks(run_step, tmp_path):
    log = tmp_path / "log"
    wrapped = "hasattr(torch.autograd._engine_run_backward, '__wrapped__')"
    record = run_step(f"open({str(log)!r}, 'a').write(str(int({wrapped})))", budget={"steps": 4, "warmup": 2})
    assert log.read_text().startswith("0" * 7)  # warm-up, timed steps, at least one for memory
    assert log.read_text().count("1") == 4 + 2  # phase pass, tensor count
    assert record.phases


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("return layer(x)", "no backward pass and no update by a torch optimizer was seen"),
        (
            "if hasattr(torch.autograd._engine_run_backward, '__wrapped__'): raise ValueError('watched')",
            "could not be run with marks between its phases: .*watched",
        ),
    ],
)
@pytest.mark.slow
def test_what_has_no_phases_says_why_and_keeps_its_times(lines, reason, run_step):
    record = run_step(lines)
    assert len(record.time.samples_seconds) == 6
    assert record.phases == []
    assert re.search(reason, record.unknown["phases"])


@pytest.mark.slow
def test_phases_whose_tensors_are_not_counted_say_why(run_step):
    record = run_step("time.sleep(0.1)", budget={"max_seconds": 0.35})
    assert [phase.peak_allocated_bytes for phase in record.phases] == [None] * 4
    for phase in record.phases:
        assert "--max-seconds" in record.unknown[f"phases.{phase.name}.peak_allocated_bytes"]


def test_inference_has_a_forward_phase():
    recipe = resolve_recipe("bert-mini-mlm", {"batch_size": 2, "seq_len": 16, "stage": "infer"})
    record = measure(recipe, backend="torch-cpu", budget=Budget(steps=2, warmup=2), command=[], predict=False)
    assert list(by_name(record)) == ["forward"]
    assert 0 < record.phases[0].peak_allocated_bytes <= record.memory.peak_allocated_bytes


@given(st.lists(st.dictionaries(st.sampled_from(["forward", "backward"]), st.floats(0, 10)), min_size=1))
def test_medians_lie_within_what_was_measured(steps):
    for name, median in median_seconds(steps).items():
        values = [step.get(name, 0.0) for step in steps]
        assert min(values) <= median <= max(values)
        assert sum(value <= median for value in values) * 2 >= len(values)


def test_phases_of_a_step_add_up_to_its_time():
    layer = torch.nn.Linear(8, 8)
    inner = []

    def step():
        start = time.perf_counter()
        layer(torch.ones(2, 8)).sum().backward()
        time.sleep(NAP)
        inner.append(time.perf_counter() - start)

    clock, outer = PhaseClock(CPU), []
    for _ in range(3):
        start = time.perf_counter()
        clock.time(step)
        outer.append(time.perf_counter() - start)
    for phases, shortest, longest in zip(clock.phases_seconds(), inner, outer, strict=True):
        assert list(phases) == ["forward", "backward", "other"]
        assert phases["other"] >= NAP
        assert shortest <= sum(phases.values()) <= longest


def test_phases_come_in_order_and_keep_what_they_had():
    outcome = Outcome()
    set_phases(outcome, {"other": 1.0, "forward": 2.0})
    set_peaks(outcome, {"forward": 5})
    set_phases(outcome, {"data": 3.0})
    assert [(phase["name"], phase["seconds"], phase["peak_allocated_bytes"]) for phase in outcome.phases] == [
        ("data", 3.0, None),
        ("forward", 2.0, 5),
        ("other", 1.0, None),
    ]
    assert list(outcome.unknown) == ["phases.other.peak_allocated_bytes"]


class SlowItems(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        time.sleep(NAP)
        return [torch.full((1, 3), float(index))]


@pytest.mark.parametrize(
    ("workers", "timed", "max_seconds", "steps"),
    [(0, 2, 1e6, 2), (0, 100, 1e6, 20), (2, 5, 1e6, 4), (2, 1, 1e6, 2), (0, 100, 1e-9, 1), (2, 100, 1e-9, 2)],
)
def test_the_data_phase_is_the_wait_for_batches(workers, timed, max_seconds, steps):
    batches = Batches((torch.zeros(2, 3),), SlowItems(), [0], batch_size=2, workers=workers)
    seen = []
    spec = Spec(
        task="torch", backend="torch-cpu", recipe={}, steps=1, warmup=2, tolerance=0.01, max_seconds=max_seconds
    )
    outcome = Outcome(fed_samples_seconds=[1.0] * timed)
    with batches.loading():
        data_phase(lambda: seen.append(next(batches)[0]), batches, CPU, spec, outcome)
    assert len(seen) == steps
    assert all(batch[0].equal(batch[0, :1].expand(3)) for batch in seen)
    (phase,) = outcome.phases
    assert phase["name"] == "data"
    assert phase["seconds"] >= (2 * NAP if workers == 0 else 0)
    assert list(outcome.unknown) == ["phases.data.peak_allocated_bytes"]
