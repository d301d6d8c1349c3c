"""Times on a processor: laws of the model, what an operator is like, and memory that is fresh."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.cpu import CPU, cpu_sigma, fresh_bytes, usual_factor
from sslbench.bench.predict.cpu_kernels import Work, operator_work
from sslbench.bench.trace.events import BACKWARD, FORWARD, OperatorKind, Storage, Trace
from sslbench.hardware_profiles.schema import KernelTiming, Point
from sslbench.kernels.micro import cpu_shapes
from sslbench.kernels.micro.registry import MICROS

LAPTOP = find_machine("laptop-16gb").device
MIB = 2**20
sizes = st.integers(min_value=1, max_value=8192)


def kind(name, *shapes, flops=0, moved=(0, 0), view=False):
    return OperatorKind(name, tuple(("float32", shape) for shape in shapes), flops, *moved, is_view=view)


def product(m, n, k):
    return kind("aten.mm.default", (m, k), (k, n), flops=2 * m * n * k)


def probed(*timings):
    kernels = [
        KernelTiming(kernel=kernel, dtype="fp32", points=points, noise=0.0, source="test") for kernel, points in timings
    ]
    return LAPTOP.model_copy(update={"kernels": tuple(kernels)})


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (product(64, 768, 192), Work("matmul", (64, 768, 192))),
        (
            kind("aten.addmm.default", (30, 40), (30, 20), (20, 40), flops=2 * 30 * 20 * 40),
            Work("matmul", (30, 40, 20)),
        ),
        (
            kind("aten.bmm.default", (32, 10, 64), (32, 64, 20), flops=2 * 32 * 10 * 20 * 64),
            Work("batched_matmul", (32, 10, 20, 64)),
        ),
        # ONNX Runtime multiplies three dimensions by two, and has weights that stand the other way.
        (
            kind("mm.MatMul", (8, 16, 64), (64, 32), flops=2 * 128 * 32 * 64),
            Work("matmul", (128, 32, 64)),
        ),
        (kind("mm.Gemm", (8, 64), (32, 64), (32,), flops=2 * 8 * 32 * 64), Work("matmul", (8, 32, 64))),
        (
            kind("aten.convolution.default", (8, 3, 64, 64), (64, 3, 7, 7), flops=2 * 8 * 64 * 32 * 32 * 3 * 49),
            Work("convolution", (8, 3, 64, 64, 64, 7, 2, 1)),
        ),
        # The first layer's image needs no gradient: half of the work.
        (
            kind(
                "aten.convolution_backward.default",
                (8, 64, 32, 32),
                (8, 3, 64, 64),
                (64, 3, 7, 7),
                flops=2 * 8 * 64 * 32 * 32 * 3 * 49,
            ),
            Work("convolution_backward", (8, 3, 64, 64, 64, 7, 2, 1), 0.5),
        ),
        (
            kind("aten._scaled_dot_product_flash_attention_for_cpu.default", *[(8, 4, 128, 64)] * 3),
            Work("attention", (8, 4, 128, 128, 64)),
        ),
        (kind("aten._log_softmax.default", (4, 128, 1000)), Work("log_softmax", (512, 1000))),
        (kind("aten.native_layer_norm.default", (8, 16, 192), (192,), (192,)), Work("layer_norm", (128, 192))),
        (
            kind("aten.native_batch_norm.default", (8, 64, 4, 4), (64,), moved=(0, 4 * 8192 + 512)),
            Work("batch_norm", (8, 64, 1, 16)),
        ),
        # In inference the statistics are known, and not written.
        (kind("aten.native_batch_norm.default", (8, 64, 4, 4), (64,), moved=(4 * 8192,) * 2), Work("add", (5461,))),
        (kind("aten.mul_.Tensor", (100,), (), moved=(400, 400)), Work("mul_inplace", (100,))),
        (kind("aten.embedding.default", (30522, 256), (8,), moved=(4 * 30522 * 256, 8192)), Work("add", (1024,))),
        (kind("aten.empty_like.default", (100,), moved=(400, 400)), None),
        (kind("aten.view.default", (100,), view=True), None),
    ],
)
def test_an_operator_is_like_a_kernel_of_the_probe(operator, expected):
    assert operator_work(operator) == expected


def test_every_kernel_that_operators_are_like_is_timed_by_the_probe():
    assert set(cpu_shapes.SHAPES) <= set(MICROS)
    names = {name for name in cpu_shapes.SHAPES if not name.startswith(("dispatch", "module_call", "fresh", "copy"))}
    assert all(usual_factor(name) > 0 for name in names)


@given(sizes, sizes, sizes)
def test_a_product_takes_at_least_its_ideal_time_and_twice_the_work_takes_more(m, n, k):
    cpu = CPU(LAPTOP)
    peak = LAPTOP.peak_flops_per_second["fp32"].value
    assert cpu.seconds(product(m, n, k), "fp32") >= 2 * m * n * k / peak
    assert cpu.seconds(product(2 * m, n, k), "fp32") > cpu.seconds(product(m, n, k), "fp32")


@given(sizes, sizes, sizes, st.floats(min_value=1e-4, max_value=10.0))
def test_a_size_that_was_timed_takes_what_it_took(m, n, k, seconds):
    device = probed(("matmul", (Point(shape=(m, n, k), seconds=seconds),)), ("dispatch", (Point(seconds=1e-6),)))
    predicted = CPU(device).seconds(product(m, n, k), "fp32")
    assert predicted == pytest.approx(seconds - 1e-6, rel=1e-6)


def test_the_nearest_size_counts_most():
    cpu = CPU(LAPTOP)
    near, far = product(64, 64, 64), product(2048, 2048, 2048)
    slow, fast = (factor * cpu.seconds(one, "fp32") for factor, one in ((3.0, near), (1.0, far)))
    points = (Point(shape=(64, 64, 64), seconds=slow), Point(shape=(2048, 2048, 2048), seconds=fast))
    both = CPU(probed(("matmul", points), ("dispatch", (Point(seconds=1e-12),))))
    ratio = both.seconds(product(80, 64, 64), "fp32") / cpu.seconds(product(80, 64, 64), "fp32")
    assert ratio == pytest.approx(3.0, rel=0.01)


def test_a_probe_narrows_the_interval():
    assert cpu_sigma(probed(("matmul", (Point(shape=(64, 64, 64), seconds=1e-5),)))) < cpu_sigma(LAPTOP)


def memory_trace(*blocks, trains):
    """A trace whose two steps allocate these blocks one after the other, then free them all."""
    once = list(range(len(blocks)))
    steps = [*once, *(~place for place in once)]
    return Trace(
        target="cpu",
        batch_size=1,
        storages=tuple(Storage(size, "activation", FORWARD, 0, "") for size in blocks),
        events=(*steps, *steps),
        marks=(0, len(steps), 2 * len(steps)),
        phase_marks=((0, FORWARD), (1, BACKWARD)) if trains else ((0, FORWARD),),
        kinds=(),
        calls=(),
        modules=("",),
        parameters=0,
    )


def test_large_blocks_are_fresh_each_time_and_a_small_heap_is_kept():
    assert fresh_bytes(memory_trace(40 * MIB, MIB, trains=False)) == 40 * MIB
    assert fresh_bytes(memory_trace(3 * MIB, 3 * MIB, trains=True)) == 0


def test_a_heap_that_grows_much_is_given_back():
    grown = [memory_trace(*[2 * MIB] * 20, trains=trains) for trains in (True, False)]
    training, inference = map(fresh_bytes, grown)
    assert 0 < training < 40 * MIB < inference
