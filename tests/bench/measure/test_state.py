"""The state of the machine around timed steps, and what of it stands in records.

Where the test machine has no card, a stand-in for NVIDIA's library shows one, and the worker's step runs on the
processor: all else is what runs on a card.
"""

import os
from dataclasses import replace

import pynvml
import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure import gpu, manager
from sslbench.bench.measure.messages import Outcome
from sslbench.bench.measure.power import SOURCE
from sslbench.bench.measure.recording import make_record
from sslbench.bench.measure.sampler import PeakSampler, process_resident_bytes
from sslbench.bench.measure.state import StateWatch
from sslbench.bench.recipe import Recipe

WORKER_BYTES = 3 * 2**30
LOST = pynvml.NVML_ERROR_GPU_IS_LOST
PHASES = ("import", "build", "warm-up", "timed steps", "memory pass", "phase pass")


@pytest.fixture
def run_on_card(run_step, nvml, monkeypatch):
    """Measures on `torch-cuda`; `meanwhile` is called with every phase before the parent looks."""
    real = manager.worker_in_turns

    def run(meanwhile=lambda phase: None):
        def on_processor(spec, *, on_phase, **options):
            def told(name, pid):
                if name == "build":
                    nvml.set(f"process {pid} {WORKER_BYTES}", f"sample {pid} 60 0.0", used=5 * 2**30)
                meanwhile(name)
                on_phase(name, pid)

            return real(replace(spec, backend="torch-cpu"), on_phase=told, **options)

        monkeypatch.setattr(manager, "worker_in_turns", on_processor)
        budget = {"steps": 24, "warmup": 2}
        return run_step("time.sleep(0.05)", backend="torch-cuda", predict=False, budget=budget)

    return run


@pytest.mark.slow
def test_a_quiet_card(run_on_card):
    record = run_on_card()
    before, after = record.state.gpu_before, record.state.gpu_after
    assert (before.other_processes, before.other_utilization) == (0, 0.0)
    assert (after.other_processes, after.other_utilization) == (0, 0.0)
    assert after.temperature_celsius == 41
    assert not any("GPU" in warning for warning in record.warnings)
    assert record.memory.required_bytes == WORKER_BYTES
    assert record.memory.device_used_bytes == 5 * 2**30
    assert record.memory.capacity_bytes == 2**40
    assert record.machine.title == "NVIDIA H200"
    assert record.energy.source == "NVML total energy of the GPU board"
    assert record.energy.joules_per_step > 300 * 0.05  # 300 W over 50 ms and more


def test_a_shared_card_without_a_counter_of_energy(run_on_card, nvml):
    nvml.fail(pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceGetTotalEnergyConsumption")

    def meanwhile(phase):
        if phase == "timed steps":
            nvml.set("process 77 1024", "sample 77 31 0.0", reasons=pynvml.nvmlClocksEventReasonSwPowerCap)

    record = run_on_card(meanwhile)
    assert record.state.gpu_before.other_processes == 0
    assert record.state.gpu_after.other_processes == 1
    assert any("another process used 31% of the GPU while steps were timed" in text for text in record.warnings)
    assert any("the power limit of 700 W held the GPU's clocks down" in text for text in record.warnings)
    assert record.energy.source == SOURCE
    assert record.energy.joules_per_step > 300 * 0.05
    assert "energy.joules_per_step" not in record.unknown


@pytest.mark.slow
def test_a_card_that_is_lost_costs_what_it_feeds_and_no_step(run_on_card, nvml):
    record = run_on_card(lambda phase: nvml.fail(LOST) if phase == "timed steps" else None)
    assert len(record.time.samples_seconds) == 24
    assert record.energy.joules_per_step is None
    assert "GPU is lost" in record.unknown["energy.joules_per_step"]
    assert record.memory.required_bytes is None
    assert record.state.gpu_before.temperature_celsius == 41


def recorded(watch, outcome, **options):
    """The record of a worker that measured this, with what the parent saw."""
    asked = {"backend": "torch-cuda", "gpu": None, "sampled_bytes": None, "command": [], **options}
    recipe = Recipe(name="mine", objective="custom", factory="my_step.py:build")
    return watch.added_to(make_record(outcome, recipe=recipe, **asked), outcome)


def test_a_driver_without_nvml_costs_what_it_feeds_where_torch_has_cuda(nvml, monkeypatch):
    monkeypatch.setattr(gpu, "torch_has", lambda platform: platform == "cuda")
    nvml.fail(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "nvmlInitWithFlags")
    found, why = gpu.gpu_of("torch-cuda")
    assert found is None
    record = recorded(StateWatch(found, PeakSampler(process_resident_bytes), why), Outcome(samples_seconds=[0.1] * 5))
    assert record.unknown["state.gpu_after"] == "NVML is not there (NVML Shared Library Not Found)"
    assert record.unknown["memory.device_used_bytes"] == record.unknown["state.gpu_after"]
    assert record.memory.required_bytes is None
    with pytest.raises(MeasureError, match="no NVIDIA GPU can be used here"):
        gpu.gpu_of("onnx-cuda")


@pytest.fixture
def watched(nvml):
    """What the parent sees of a worker that does nothing, with NVML lost as one of its phases begins."""

    def watch_until(last="phase pass", lost_at=""):
        nvml.set(f"process {os.getpid()} {WORKER_BYTES}")
        card = gpu.first_visible_gpu()
        sampler = PeakSampler(card.worker_bytes, 0.001)
        watch = StateWatch(card, sampler)
        for phase in PHASES[: PHASES.index(last) + 1]:
            if phase == lost_at:
                nvml.fail(LOST)
            watch.on_phase(phase, os.getpid())
            while phase == "memory pass" and sampler.peak_bytes is None and not sampler.problem:
                pass
        watch.stop()
        return recorded(watch, Outcome(samples_seconds=[0.1] * 5), gpu=card, sampled_bytes=sampler.peak_bytes)

    return watch_until


@pytest.mark.parametrize("phase", PHASES)
def test_nvml_may_vanish_at_any_stage(watched, phase):
    record = watched(lost_at=phase)
    assert record.state.gpu_before.temperature_celsius == 41
    was_there = phase == "phase pass"
    assert record.memory.device_used_bytes == (2**30 if was_there else None)
    assert record.memory.required_bytes == (WORKER_BYTES if was_there else None)
    assert record.state.gpu_after.temperature_celsius == (41 if was_there else None)
    if not was_there:
        assert any("NVML stopped answering in the memory pass (GPU is lost)" in text for text in record.warnings)
        assert record.unknown["memory.device_used_bytes"] == "GPU is lost"
        assert record.unknown["state.gpu_after.temperature_celsius"] == "NVML: GPU is lost"


@pytest.mark.parametrize("last", PHASES[:4])
def test_a_worker_that_never_ends_its_steps_leaves_the_state_before(watched, last):
    record = watched(last)
    assert record.state.gpu_before.temperature_celsius == 41
    assert record.state.gpu_after is None
    for field in ("gpu_after", "frequency_mhz", "throttled_seconds", "others_cpu_share"):
        assert record.unknown[f"state.{field}"] == "the timed steps were not reached"
    assert record.unknown["memory.device_used_bytes"] == "the memory pass was not reached"


def test_a_processor_has_no_state_of_a_gpu_and_every_null_has_its_reason():
    watch = StateWatch(None, PeakSampler(process_resident_bytes), "no GPU took part")
    for phase in PHASES:
        watch.on_phase(phase, os.getpid())
    watch.stop()
    outcome = Outcome(samples_seconds=[0.1] * 5, others_cpu_share=0.02)
    record = recorded(watch, outcome, backend="torch-cpu")
    assert record.state.others_cpu_share == 0.02
    nulls = {name for name, value in record.state.model_dump().items() if value is None}
    may_be_none = {"container", "cpu_limit", "memory_limit_bytes"}  # none there, as the record's description says
    assert {f"state.{name}" for name in nulls - may_be_none} <= set(record.unknown)
    assert {"gpu_before", "gpu_after"} <= nulls
    assert record.unknown["memory.device_used_bytes"] == "no GPU took part"
