"""A probed GPU: the model starts from rated figures and is set right by the probe's own kernels."""

import pytest

from sslbench.bench.predict.probed import alone_in, linear
from sslbench.bench.predict.time import predict_time
from sslbench.bench.probe.figures import with_figures
from sslbench.bench.trace.events import OperatorKind
from sslbench.hardware_profiles.loader import load_machine
from sslbench.hardware_profiles.schema import KernelTiming, Point

SIZES = ((1024, 1024, 1024), (4096, 4096, 4096), (8192, 8192, 8192), (16384, 4096, 1024), (4096, 3072, 768))
ADDITION = 2**26
TYPES = ("fp32", "tf32", "fp16", "bf16")


def product(dtype, shape):
    return alone_in(linear(dtype, Point(shape=shape, seconds=1)), dtype)


def addition(size=ADDITION):
    return alone_in(OperatorKind("aten.add.Tensor", (("float32", (size,)),) * 2, size, 8 * size, 4 * size), "fp32")


def device_seconds(trace, machine):
    return predict_time(trace, machine).device_seconds


def timing(kernel, dtype, shapes, seconds):
    points = tuple(Point(shape=shape, seconds=each) for shape, each in zip(shapes, seconds, strict=True))
    return KernelTiming(kernel=kernel, dtype=dtype, points=points, noise=0.0, source="made up")


def probed(machine, *, slower=1.0, slower_memory=1.0):
    """The machine as a probe would find it whose kernels take as long as predicted, or longer by a factor."""
    timings = [
        timing("matmul", dtype, SIZES, [slower * device_seconds(product(dtype, shape), machine) for shape in SIZES])
        for dtype in TYPES
        if dtype in machine.device.peak_flops_per_second
    ]
    timings.append(timing("add", "fp32", ((ADDITION,),), [slower_memory * device_seconds(addition(), machine)]))
    timings.append(timing("copy", "fp32", ((2**28,),), [2**29 / 0.9 / 4.8e12]))
    timings.append(timing("eager_block", "fp32", ((),), [5e-6]))
    return machine.model_copy(update={"device": with_figures(machine.device, timings)})


@pytest.mark.parametrize("name", ["rtx-3090", "a100-80gb", "h200", "t4"])
def test_a_machine_that_is_as_predicted_is_predicted_the_same(name):
    machine = load_machine(name)
    found = probed(machine)
    assert found.device.peak_flops_per_second["fp32"].basis == "measured"
    for dtype in TYPES:
        for trace in (product(dtype, (2048, 2048, 2048)), product(dtype, (4096, 4096, 4096)), addition(2**24)):
            assert device_seconds(trace, found) == pytest.approx(device_seconds(trace, machine), rel=1e-6)
    assert predict_time(addition(2**10), found).dispatch_seconds == 5e-6


def test_slower_products_slow_the_products_and_not_the_memory():
    machine = load_machine("h200")
    found = probed(machine, slower=1.25)
    big = product("bf16", (8192, 8192, 8192))
    assert device_seconds(big, found) == pytest.approx(1.25 * device_seconds(big, machine), rel=0.05)
    assert device_seconds(addition(), found) == pytest.approx(device_seconds(addition(), machine), rel=1e-6)


def test_slower_memory_slows_the_memory_and_not_the_products():
    machine = load_machine("rtx-4090")
    found = probed(machine, slower_memory=1.3)
    big = product("fp16", (8192, 8192, 8192))
    assert device_seconds(addition(), found) == pytest.approx(1.3 * device_seconds(addition(), machine), rel=0.02)
    assert device_seconds(big, found) == pytest.approx(device_seconds(big, machine), rel=0.02)


def test_what_was_not_timed_keeps_its_rated_figure():
    machine = load_machine("h200")
    found = probed(machine)
    assert found.device.peak_flops_per_second["int8"] == machine.device.peak_flops_per_second["int8"]
    assert found.device.rated.peak_flops_per_second["bf16"] == machine.device.peak_flops_per_second["bf16"]
