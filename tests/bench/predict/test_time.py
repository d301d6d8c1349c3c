"""Step times: laws that hold for every machine, and published times of BERT-base on an A100."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.operators import classify
from sslbench.bench.predict.time import operator_seconds, predict_time
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.events import OperatorKind
from sslbench.bench.trace.recipes import trace_recipe

A100 = find_machine("a100-80gb")


@pytest.fixture(scope="module")
def trace():
    return trace_recipe(resolve_recipe("bert-mini-mlm", {"batch_size": 64}), "cuda", (8, 0))


def kind(name, *shapes, dtype="float16", flops=0, moved=0):
    return OperatorKind(f"aten.{name}.default", tuple((dtype, shape) for shape in shapes), flops, moved, 0)


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
