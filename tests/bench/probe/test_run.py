"""A suite of micro-kernels, and the machine that it makes."""

import pytest
import torch

from sslbench.bench.probe.collective import time_all_reduce
from sslbench.bench.probe.figures import with_figures
from sslbench.bench.probe.run import ROUNDS, run_suite
from sslbench.bench.probe.suite import suite_of
from sslbench.hardware_profiles.loader import load_machine
from sslbench.hardware_profiles.processor import instructions
from sslbench.hardware_profiles.schema import KernelTiming, Point
from sslbench.kernels.micro.registry import MICROS

CPU = torch.device("cpu")
MIB = 2**20


def test_every_size_is_timed_and_what_cannot_run_is_told():
    suite = {
        ("matmul", "fp32"): ((64, 64, 64), (16, 16, 16)),
        ("host_to_device_pinned", "fp32"): ((4096,),),
        ("copy", "fp32"): ((2**62,), (4096,)),
        ("dispatch", "fp32"): ((),),
    }
    told = []
    ran = run_suite(suite, CPU, seconds=0.0, progress=lambda *state: told.append(state))
    points = {timing.kernel: [point.shape for point in timing.points] for timing in ran.timings}
    if not torch.cuda.is_available():
        assert "host_to_device_pinned" not in points
        points["host_to_device_pinned"] = [(4096,)]
    assert points == {
        "matmul": [(64, 64, 64), (16, 16, 16)],
        "host_to_device_pinned": [(4096,)],
        "copy": [(4096,)],
        "dispatch": [()],
    }
    assert any(line.startswith(f"copy fp32 [{2**62}]: RuntimeError: ") for line in ran.left_out)
    assert ran.hurried == sum(map(len, points.values())) - (not torch.cuda.is_available())  # one block each
    assert [done for _, done, _ in told] == list(range(6 * ROUNDS))
    assert told[0] == ("matmul fp32", 0, 6 * ROUNDS)


def test_the_processor_is_timed_in_what_it_multiplies_in():
    suite = suite_of(CPU)
    assert {kernel for kernel, _ in suite} <= MICROS.keys()
    assert ("matmul", "fp32") in suite
    assert (("matmul", "bf16") in suite) == any("bf16" in name for name in instructions())


@pytest.mark.parametrize(
    ("capability", "types"),
    [
        ((6, 1), {"fp32"}),
        ((7, 5), {"fp32", "fp16"}),
        ((8, 0), {"fp32", "tf32", "bf16", "fp16"}),
        ((9, 0), {"fp32", "tf32", "bf16", "fp16"}),
    ],
)
def test_a_card_is_timed_in_what_it_multiplies_in(monkeypatch, capability, types):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    suite = suite_of(torch.device("cuda"))
    assert {dtype for kernel, dtype in suite if kernel == "matmul"} == types
    assert {kernel for kernel, _ in suite} <= MICROS.keys()
    assert ("attention", "tf32") not in suite


def timing(kernel, *points, dtype="fp32"):
    made = tuple(Point(shape=shape, seconds=seconds) for shape, seconds in points)
    return KernelTiming(kernel=kernel, dtype=dtype, points=made, noise=0.0, source="made up")


TIMINGS = (
    timing("matmul", ((1000, 1000, 1000), 0.01), ((10, 10, 10), 1e-6)),
    timing("convolution", ((1, 64, 10, 10, 64, 1, 1, 1), 1e-7)),
    timing("copy", ((MIB,), 1e-5), ((64 * MIB,), 0.01), ((128 * MIB,), 0.025)),
    timing("dispatch", ((), 2e-6)),
    timing("eager_block", ((), 5e-6)),
    timing("matmul", ((1000, 1000, 1000), 0.001), dtype="bf16"),
)


def test_figures_of_a_gpu_stand_beside_its_datasheet():
    before = load_machine("h200").device
    after = with_figures(before, TIMINGS)
    assert after.peak_flops_per_second["fp32"].value == 2e11  # of the product: a convolution may multiply less
    assert after.peak_flops_per_second["bf16"].value == 2e12
    assert after.peak_flops_per_second["fp16"] == before.peak_flops_per_second["fp16"]
    assert after.memory_bandwidth_bytes_per_second.value == pytest.approx(256 * MIB / 0.025, rel=1e-3)
    assert after.launch_seconds.value == 5e-6
    assert after.rated.peak_flops_per_second == before.peak_flops_per_second
    assert after.rated.memory_bandwidth_bytes_per_second == before.memory_bandwidth_bytes_per_second
    assert after.rated.launch_seconds == before.launch_seconds
    assert {after.launch_seconds.basis, after.peak_flops_per_second["fp32"].basis} == {"measured"}
    assert with_figures(after, TIMINGS) == after  # probing again loses no rated figure


def test_figures_of_a_processor():
    after = with_figures(load_machine("laptop").device, TIMINGS)
    assert after.peak_flops_per_second["fp32"].value == pytest.approx(2 * 64 * 64 * 100 / 1e-7, rel=1e-3)
    assert after.launch_seconds.value == 2e-6


def test_what_was_not_timed_keeps_its_figure():
    before = load_machine("h200").device
    after = with_figures(before, TIMINGS[1:2])
    assert after.peak_flops_per_second == before.peak_flops_per_second
    assert after.memory_bandwidth_bytes_per_second == before.memory_bandwidth_bytes_per_second
    assert after.launch_seconds == before.launch_seconds


@pytest.mark.slow
def test_all_reduce_between_two_processes():
    found = time_all_reduce("cpu", 2, (4096, MIB))
    assert [point.shape for point in found.points] == [(2, 4096), (2, MIB)]
    assert all(0 < point.seconds < 10 for point in found.points)
