"""What is read of a GPU, through the real pynvml and a stand-in for NVIDIA's library (nvml_stand_in/nvml.c)."""

import os
import subprocess
import sys
import time

import pynvml
import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.energy import SHORTEST_SPAN_SECONDS, EnergyMeter
from sslbench.bench.measure.gpu import first_visible_gpu, process_tree
from sslbench.bench.measure.gpu_state import GpuLook
from sslbench.bench.measure.sampler import PeakSampler

WORKER = frozenset({4242})


def test_all_that_nvml_tells(nvml):
    nvml.set("process 77 1024", "graphics 78", "sample 77 31 0.1", busy=64, reasons=0b100100)
    look = GpuLook(first_visible_gpu())
    assert look.unknown == {}
    assert look.state.model_dump() == {
        "temperature_celsius": 41,
        "graphics_clock_mhz": 1980,
        "memory_clock_mhz": 3201,
        "power_watts": 300.0,
        "power_limit_watts": 700.0,
        "utilization": 0.64,
        "throttle_reasons": ["power limit", "heat (driver)"],
        "other_processes": 2,
        "other_utilization": 0.31,
    }


def test_an_old_driver_tells_throttle_reasons_under_their_old_name(nvml):
    nvml.fail(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, "nvmlDeviceGetCurrentClocksEventReasons")
    nvml.set(reasons=pynvml.nvmlClocksEventReasonGpuIdle)
    assert GpuLook(first_visible_gpu()).state.throttle_reasons == ["idle"]


def test_a_question_without_an_answer_costs_its_field_alone(nvml):
    nvml.fail(pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceGetTemperature")
    nvml.fail(pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceGetProcessUtilization")
    look = GpuLook(first_visible_gpu())
    assert look.unknown == {"temperature_celsius": "NVML: Not Supported", "other_utilization": "NVML: Not Supported"}
    assert look.state.temperature_celsius is None
    assert look.state.power_watts == 300.0


def test_a_lost_gpu_costs_every_field_and_raises_nothing(nvml):
    gpu = first_visible_gpu()
    nvml.fail(pynvml.NVML_ERROR_GPU_IS_LOST)
    look = GpuLook(gpu, WORKER)
    assert set(look.unknown.values()) == {"NVML: GPU is lost"}
    assert set(look.unknown) == set(look.state.model_dump())
    assert not any(look.state.model_dump().values())


def test_the_worker_is_no_other_process(nvml):
    gpu = first_visible_gpu()
    nvml.set("process 4242 4096", "sample 4242 69 0.1", "process 77 1024", "sample 77 31 0.1")
    state = GpuLook(gpu, WORKER).state
    assert state.other_processes == 1
    assert state.other_utilization == pytest.approx(0.31)


def test_one_that_came_and_went_while_steps_were_timed_counts(nvml):
    gpu = first_visible_gpu()
    nvml.set("process 4242 4096", "sample 4242 69 0.1", "sample 77 31 0.2")
    state = GpuLook(gpu, WORKER).state
    assert state.other_processes == 0
    assert state.other_utilization == pytest.approx(0.31)


def test_a_worker_of_another_number_is_not_accused_in_a_container(nvml):
    nvml.set("process 77 1024")
    gpu = first_visible_gpu()
    nvml.set("process 31337 4096", "sample 31337 99 0.1")  # the worker, as the host numbers it
    state = GpuLook(gpu, WORKER).state
    assert state.other_processes == 1
    assert state.other_utilization == 0.0


def test_samples_that_are_old_or_nonsense_do_not_count(nvml):
    nvml.set(
        "process 77 1", "process 78 1", "sample 77 90 60", "sample 77 20 1", "sample 77 40 0.5", "sample 78 4000 1"
    )
    assert GpuLook(first_visible_gpu(), since=time.time() - 5).state.other_utilization == pytest.approx(0.30)


def test_without_a_sample_it_is_unknown_what_others_used(nvml):
    nvml.set("process 77 1024")
    look = GpuLook(first_visible_gpu())
    assert look.state.other_utilization is None
    assert "no sample" in look.unknown["other_utilization"]


def test_a_gpu_that_is_free_is_used_by_nobody(nvml):
    nvml.set("sample 999 90 1")  # left by a worker that is gone
    state = GpuLook(first_visible_gpu()).state
    assert (state.other_processes, state.other_utilization) == (0, 0.0)


def test_memory_of_the_worker_and_of_the_whole_gpu(nvml):
    gpu = first_visible_gpu()
    nvml.set(used=5 * 2**30)
    assert gpu.worker_bytes(4242) == 4 * 2**30  # what the total grew by, as NVML does not show the worker
    assert not gpu.sees_process
    nvml.set("process 4242 3221225472", used=6 * 2**30)
    assert gpu.worker_bytes(4242) == 3 * 2**30
    assert gpu.sees_process
    nvml.set(used=2 * 2**30)
    gpu.worker_bytes(4242)
    assert gpu.most_used_bytes == 6 * 2**30


def test_a_driver_that_does_not_list_processes_leaves_the_growth(nvml):
    gpu = first_visible_gpu()
    nvml.fail(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, "nvmlDeviceGetComputeRunningProcesses_v3")
    nvml.set(used=2 * 2**30)
    assert gpu.worker_bytes(4242) == 2**30


def test_samples_end_when_nvml_vanishes_and_what_was_seen_stands(nvml):
    gpu = first_visible_gpu()
    nvml.set(used=3 * 2**30)
    sampler = PeakSampler(gpu.worker_bytes, 0.001)
    sampler.start(4242)
    while sampler.peak_bytes is None:
        pass
    nvml.fail(pynvml.NVML_ERROR_GPU_IS_LOST)
    while not sampler.problem:
        pass
    sampler.stop()
    assert sampler.problem == "GPU is lost"
    assert sampler.peak_bytes == 2 * 2**30


def test_no_nvml_is_said_in_one_line(nvml):
    nvml.fail(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    with pytest.raises(MeasureError, match=r"no NVIDIA GPU can be used here \(Driver Not Loaded\)"):
        first_visible_gpu()


def test_the_counter_of_energy(nvml, monkeypatch):
    monkeypatch.setitem(SHORTEST_SPAN_SECONDS, "nvml", 0.0)
    meter = EnergyMeter("torch-cuda", "GPU-stand-in")
    while not (reading := meter.read()).joules:
        assert reading.reason == "the counter stood still"
    assert reading.source == "NVML total energy of the GPU board"
    nvml.fail(pynvml.NVML_ERROR_GPU_IS_LOST, "nvmlDeviceGetTotalEnergyConsumption")
    assert meter.read().joules is None
    assert "could no longer be read after the timed steps: GPU is lost" in meter.read().reason


def test_a_gpu_without_a_counter_says_so(nvml):
    nvml.fail(pynvml.NVML_ERROR_NOT_SUPPORTED, "nvmlDeviceGetTotalEnergyConsumption")
    assert not first_visible_gpu().counts_energy()
    assert (
        EnergyMeter("torch-cuda", "GPU-stand-in").read().reason.endswith("no energy counter of this GPU: Not Supported")
    )


def test_a_process_and_what_it_started():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= process_tree(os.getpid())
    finally:
        child.communicate(b"\n")
    assert process_tree(child.pid) == {child.pid}  # gone: nothing but its number
