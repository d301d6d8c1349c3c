"""Step times: laws that hold for every machine, and published times of BERT-base on an A100."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.gemm import MatrixUnits, product_seconds
from sslbench.bench.predict.gpu import GPU, ROUNDING
from sslbench.bench.predict.gpu_kernels import operator_kernels
from sslbench.bench.predict.kernel import Kernel, Product
from sslbench.bench.predict.operators import classify
from sslbench.bench.predict.time import VIEW_LAUNCH, operator_seconds, predict_time
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.events import OperatorKind
from sslbench.bench.trace.recipes import trace_recipe
from sslbench.hardware_profiles.schema import Figure

A100 = find_machine("a100-80gb")


@pytest.fixture(scope="module")
def trace():
    return trace_recipe(resolve_recipe("bert-mini-mlm", {"batch_size": 64}), "cuda", (8, 0))


def kind(name, *shapes, dtype="float16", flops=0, moved=0, written=0, channels_last=False):
    inputs = tuple((dtype, shape) for shape in shapes)
    return OperatorKind(f"aten.{name}.default", inputs, flops, moved, written, channels_last=channels_last)


def with_figure(device, **values):
    figures = {name: Figure(value=value, basis="derived", source="test") for name, value in values.items()}
    return device.model_copy(update=figures)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (kind("addmm", (768,), (512, 768), (768, 768)), "matrix product"),
        (kind("convolution", (8, 64, 56, 56), (64, 64, 1, 1)), "convolution 1x1"),
        (kind("convolution", (8, 64, 56, 56), (64, 64, 3, 3)), "convolution"),
        (kind("convolution", (8, 64, 56, 56), (64, 16, 3, 3)), "grouped convolution"),
        (kind("convolution", (8, 64, 56, 56), (64, 1, 3, 3)), "depthwise convolution"),
        (kind("convolution", (8, 3, 224, 224), (64, 3, 7, 7)), "first convolution"),
        (kind("convolution_backward", (8, 64, 56, 56), (8, 64, 56, 56), (64, 64, 3, 3)), "convolution backward"),
        (kind("_scaled_dot_product_flash_attention", (8, 12, 512, 64)), "attention"),
        (kind("_log_softmax", (512, 30522)), "softmax"),
        (kind("cudnn_batch_norm", (8, 64, 56, 56)), "batch normalisation"),
        (kind("native_layer_norm_backward", (512, 768)), "layer normalisation"),
        (kind("_foreach_norm", (512, 768)), "pointwise"),
        (kind("_to_copy", (512, 768)), "copy"),
        (kind("gelu", (512, 768)), "pointwise"),
    ],
)
def test_operators_have_their_class(operator, expected):
    assert classify(operator) == expected


def convolution(x, weight, *, channels_last=True, backward=False):
    pixels = x[0] * weight[0] * x[2] * x[3]
    flops = 2 * pixels * weight[1] * weight[2] * weight[3]
    if backward:
        output = (x[0], weight[0], x[2], x[3])
        return kind("convolution_backward", output, x, weight, flops=2 * flops, channels_last=channels_last)
    return kind("convolution", x, weight, flops=flops, written=2 * pixels, channels_last=channels_last)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (kind("addmm", (768,), (512, 768), (768, 768)), ["matrix product"]),
        (kind("bmm", (96, 128, 64), (96, 64, 128)), ["batched product"]),
        (convolution((8, 64, 56, 56), (64, 64, 1, 1)), ["convolution 1x1"]),
        (convolution((8, 64, 56, 56), (64, 64, 3, 3), channels_last=False), ["convolution", "layout conversion"]),
        (convolution((8, 64, 56, 56), (64, 16, 3, 3)), ["grouped convolution"]),
        (convolution((8, 64, 56, 56), (64, 1, 3, 3)), ["depthwise convolution NHWC"]),
        (convolution((8, 3, 224, 224), (64, 3, 7, 7)), ["first convolution"]),
        (convolution((8, 64, 56, 56), (64, 64, 3, 3), backward=True), ["convolution backward"] * 2),
        (convolution((8, 64, 56, 56), (64, 1, 3, 3), backward=True), ["depthwise convolution NHWC backward"] * 2),
        (kind("_scaled_dot_product_flash_attention", *((8, 12, 512, 64),) * 3), ["flash attention"]),
        (kind("_scaled_dot_product_efficient_attention", *((8, 12, 512, 64),) * 3), ["efficient attention"]),
        (kind("_log_softmax", (512, 30522)), ["softmax"]),
        (kind("cudnn_batch_norm", (8, 64, 56, 56)), ["batch normalisation"]),
        (kind("native_batch_norm", (8, 64, 56, 56)), ["pointwise"]),
        (kind("native_layer_norm_backward", (512, 768)), ["layer normalisation backward"]),
        (kind("_foreach_norm", (512, 768)), ["optimizer"]),
        (kind("_to_copy", (512, 768)), ["copy"]),
        (kind("clone", (512, 768)), ["strided copy"]),
        (kind("gelu", (512, 768)), ["error function"]),
        (kind("mul", (512, 768), (768,)), ["broadcast"]),
        (kind("add", (512, 768), (512, 768)), ["pointwise"]),
        (kind("upsample_bilinear2d", (8, 64, 7, 7)), ["interpolation"]),
    ],
)
def test_operators_have_their_kernels(operator, expected):
    assert [kernel.family for kernel in operator_kernels(operator)] == expected


def test_a_view_launches_nothing():
    assert operator_kernels(OperatorKind("aten.view.default", (), 0, 0, 0, is_view=True)) == ()


# ---------------------------------------------------------------------- laws of a kernel
SIZES = st.integers(1, 4096)
GPUS = st.sampled_from(("rtx-3090", "rtx-4090", "a100-80gb", "h100", "t4")).map(lambda name: find_machine(name).device)


@given(GPUS, st.floats(0, 1e11), st.floats(1, 100), st.floats(1, 8))
def test_more_bytes_or_less_bandwidth_never_take_less(device, moved, factor, slower):
    less, more = Kernel("pointwise", moved), Kernel("pointwise", moved * factor)
    gpu = GPU(device)
    narrow = GPU(with_figure(device, memory_bandwidth_bytes_per_second=gpu.bandwidth / slower))
    assert gpu.traffic_seconds(less, 4) <= gpu.traffic_seconds(more, 4) * (1 + 1e-9)
    assert gpu.traffic_seconds(less, 4) <= narrow.traffic_seconds(less, 4) * (1 + 1e-9)


@given(GPUS, st.floats(0, 1e11), st.floats(1, 100))
def test_a_larger_cache_never_slows(device, moved, factor):
    gpu = GPU(device)
    wide = GPU(with_figure(device, l2_cache_bytes=gpu.l2_bytes * factor))
    assert wide.traffic_seconds(Kernel("pointwise", moved), 2) <= gpu.traffic_seconds(Kernel("pointwise", moved), 2)


@given(GPUS, st.integers(1, 64), SIZES, SIZES, SIZES)
def test_a_product_takes_at_least_its_ideal_time(device, count, m, n, k):
    peak = device.peak_flops_per_second["fp16"].value
    units = MatrixUnits(peak, device.multiprocessors, GPU(device).clock_hertz, 2)
    assert product_seconds(Product(count, m, n, k), units) >= 2 * count * m * n * k / peak


@given(GPUS, SIZES, SIZES, SIZES, st.integers(1, 4))
def test_a_larger_product_never_takes_less(device, m, n, k, factor):
    units = MatrixUnits(device.peak_flops_per_second["fp16"].value, device.multiprocessors, GPU(device).clock_hertz, 2)
    base = product_seconds(Product(1, m, n, k), units)
    larger = (Product(factor, m, n, k), Product(1, m * factor, n, k), Product(1, m, n * factor, k))
    assert all(product_seconds(product, units) >= base * (1 - 1e-9) for product in larger)


def test_one_tile_more_than_fills_the_multiprocessors_starts_another_wave():
    units = MatrixUnits(100e12, 100, 1.5e9, 2)
    full, more = (product_seconds(Product(tiles, 256, 128, 4096), units) for tiles in (100, 101))
    assert more > 1.05 * full


def test_nchw_pays_for_its_conversions(trace):
    times = [
        operator_seconds(convolution((64, 256, 28, 28), (256, 256, 3, 3), channels_last=last), A100.device, trace)
        for last in (True, False)
    ]
    assert times[0] < times[1]


def test_channels_are_padded_to_eight(trace):
    odd, even = (
        operator_seconds(convolution((64, channels, 28, 28), (512, channels, 3, 3)), A100.device, trace)
        for channels in (250, 256)
    )
    assert odd > 0.95 * even


# ---------------------------------------------------------------------- laws of an operator and of a step
@given(flops=st.integers(0, 10**15), moved=st.integers(0, 10**12), factor=st.floats(1, 100))
def test_more_work_never_takes_less_time(trace, flops, moved, factor):
    shapes = ((4096, 4096), (4096, 4096))
    less = kind("mm", *shapes, flops=flops, moved=moved)
    more = kind("mm", *shapes, flops=int(flops * factor), moved=int(moved * factor))
    assert operator_seconds(less, A100.device, trace) <= operator_seconds(more, A100.device, trace)


@given(flops=st.integers(1, 10**15), moved=st.integers(1, 10**12))
def test_no_matrix_product_beats_the_peak_by_more_than_boost_clocks(trace, flops, moved):
    product = kind("mm", (8192, 8192), (8192, 8192), flops=flops, moved=moved)
    ideal = flops / A100.device.peak_flops_per_second["fp16"].value
    assert operator_seconds(product, A100.device, trace) >= ideal


def test_a_faster_card_is_faster(trace):
    seconds = [predict_time(trace, find_machine(name)).step_seconds for name in ("t4", "rtx-3090", "rtx-4090", "h200")]
    assert seconds == sorted(seconds, reverse=True)


def test_tf32_is_used_where_the_step_allows_it():
    steps = [
        trace_recipe(resolve_recipe("bert-mini-mlm", {"batch_size": 64, "precision": precision}), "cuda", (8, 0))
        for precision in ("fp32", "tf32")
    ]
    assert [step.tf32_matmul for step in steps] == [False, True]
    ieee, tf32 = (predict_time(step, A100).seconds_by_class["matrix product"] for step in steps)
    assert tf32 < ieee / 2


def test_a_step_takes_as_long_as_the_host_or_the_device_needs(trace):
    prediction = predict_time(trace, A100)
    assert prediction.step_seconds >= max(prediction.device_seconds, prediction.dispatch_seconds)
    assert sum(prediction.seconds_by_class.values()) == pytest.approx(prediction.device_seconds)


# ---------------------------------------------------------------------- ordinary lanes
def in_fp32(weight, output=None):
    flops = 2 * 8 * 56 * 56 * weight[0] * weight[1] * weight[2] * weight[3]
    inputs = (("float32", (8, 64, 56, 56)), ("float32", weight))
    moved = 4 * 8 * 56 * 56 * weight[0]
    return OperatorKind("aten.convolution.default", inputs, flops, moved, output or moved)


def test_lanes_have_winograd_for_dense_windows_of_3_x_3_and_matrix_units_do_not(step_of):
    lanes, units = find_machine("gtx-1080-ti").device, A100.device
    windows = in_fp32((256, 64, 3, 3)), in_fp32((256, 64, 5, 5))
    step = step_of(*windows)
    per_flop = [
        [operator_seconds(window, device, step) / window.flops for window in windows] for device in (lanes, units)
    ]
    assert per_flop[0][0] < 0.6 * per_flop[0][1]
    assert per_flop[1][0] > 0.8 * per_flop[1][1]  # convolutions in fp32 run in TF32 there


# ---------------------------------------------------------------------- what the host needs
WORK, ASKS, SMALL = (
    kind("mm", (4096, 4096), (4096, 4096), flops=2 * 4096**3, moved=2**26),
    OperatorKind("aten._local_scalar_dense.default", (("float32", ()),), 0, 4, 4),
    kind("add", (8,), (8,), moved=32),
)


def launching(step):
    return predict_time(step, A100).dispatch_seconds / A100.device.launch_seconds.value


def test_a_view_costs_the_host_less_than_a_kernel_and_a_generated_kernel_lies_between(step_of):
    view = OperatorKind("aten.view.default", (), 0, 0, 0, is_view=True)
    generated = OperatorKind("fused pointwise", (("float16", (8,)),), 0, 32, 32)
    assert launching(step_of(*[SMALL] * 10)) == pytest.approx(10)
    assert launching(step_of(SMALL, *[view] * 100)) == pytest.approx(1 + 100 * VIEW_LAUNCH)
    assert VIEW_LAUNCH < launching(step_of(generated)) < 1


def test_the_host_of_eager_and_of_fused_attention_is_as_published():
    """Kernels and views of BERT-base in training: 23 and 17 ms, https://huggingface.co/docs/transformers/model_doc/bert."""
    eager, fused = (751 + VIEW_LAUNCH * 1427, 535 + VIEW_LAUNCH * 1187)
    assert eager / fused == pytest.approx(23 / 17, rel=0.02)


# ---------------------------------------------------------------------- a host that waits
def test_a_host_that_waits_for_a_number_does_not_run_ahead(step_of):
    free = predict_time(step_of(*[WORK] * 50, *[SMALL] * 1000), A100)
    waits = predict_time(step_of(*[WORK] * 50, ASKS, *[SMALL] * 1000), A100)
    assert free.step_seconds < 1.3 * max(free.device_seconds, free.dispatch_seconds)
    launching = 1000 * A100.device.launch_seconds.value
    assert waits.step_seconds == pytest.approx(waits.device_seconds + launching, rel=0.1)


@given(st.lists(st.sampled_from([WORK, ASKS, SMALL]), min_size=1, max_size=60))
def test_a_step_with_waits_takes_about_as_long_as_its_timeline(step_of, kinds):
    """Against a clock of the host and one of the device, moved call by call over steps until they repeat."""
    step = step_of(*kinds, ASKS)
    launch = A100.device.launch_seconds.value
    host = device = begun = 0.0
    for _ in range(2):
        begun = device
        for call in step.calls:
            host += launch
            device = max(host, device) + operator_seconds(step.kinds[call.kind], A100.device, step)
            host = max(host, device) if step.kinds[call.kind] is ASKS else host
    timeline = device - begun
    rounded = timeline * 2 ** (1 / ROUNDING)  # host and device are never so even that one hides the other
    assert timeline * (1 - 1e-6) <= predict_time(step, A100).step_seconds <= rounded * (1 + 1e-6)
