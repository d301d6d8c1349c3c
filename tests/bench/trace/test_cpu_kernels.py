"""Single operators: what the model says that a kernel holds beside its outputs, against torch's own allocator."""

import math
from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from sslbench.bench.trace.cpu_kernels import MATMUL_SCRATCHPAD_BYTES, CpuKernels

aten = torch.ops.aten
few = settings(max_examples=12)
DTYPES = st.sampled_from([torch.float32, torch.bfloat16])
AVX512 = torch.backends.cpu.get_cpu_capability() == "AVX512"


def held_inside(operator, *args, **kwargs):
    """Most bytes that a call held beside what it returned."""
    operator(*args, **kwargs)  # what a library makes once
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = operator(*args, **kwargs)
    rows = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    levels = list(accumulate((event.nbytes() for event in sorted(rows, key=lambda row: row.start_ns())), initial=0))
    del result
    return max(levels) - levels[-1]


def is_tensor(value):
    return isinstance(value, torch.Tensor)


def inside(name, arguments, outputs=(), threads=1):
    inputs = [value for value in arguments.values() if is_tensor(value)]
    return sum(CpuKernels(threads).temporaries(f"aten.{name}.default", inputs, arguments, list(outputs)))


def meta(tensor):
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


@few
@given(dtype=DTYPES, number=st.sampled_from([2.0, 3]), shape=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_a_number_becomes_a_tensor(dtype, number, shape):
    x = torch.ones(shape, dtype=dtype)
    assert inside("mul", {"self": meta(x), "other": number}, [meta(x)]) == held_inside(lambda: x * number)


@few
@given(dtype=DTYPES, other=st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool]))
def test_operands_of_different_types_are_copied(dtype, other):
    x, y = torch.ones(64, 96, dtype=dtype), torch.ones(64, 96).to(other)
    assert inside("add", {"self": meta(x), "other": meta(y)}, [meta(x + y)]) == held_inside(lambda: x + y)


@few
@given(dtype=DTYPES, result=st.sampled_from([None, torch.float32, torch.float64]))
def test_a_sum_in_another_type_copies_its_input(dtype, result):
    x = torch.ones(64, 96, dtype=dtype)
    out = x.sum(1, dtype=result)
    assert inside("sum", {"self": meta(x)}, [meta(out)]) == held_inside(lambda: x.sum(1, dtype=result))


@few
@given(dtype=DTYPES, kept=st.booleans())
def test_a_mean_in_half_precision_is_summed_in_fp32(dtype, kept):
    x = torch.ones(64, 96, dtype=dtype)
    found = held_inside(lambda: x.mean(1, keepdim=kept))
    assert 0 <= found - inside("mean", {"self": meta(x)}, [meta(x.mean(1))]) <= 12  # or the divisor, not both


@few
@given(dtype=DTYPES, transposed=st.booleans(), wanted=st.booleans())
def test_layer_norms_gradient_sums_in_rows_for_each_thread(dtype, transposed, wanted):
    x = torch.ones(16, 24, dtype=dtype)
    gradient = torch.ones(24, 16, dtype=dtype).t() if transposed else x
    weight, row = torch.ones(24, dtype=dtype), torch.ones(16, 1, dtype=dtype)
    mask = [True, wanted, wanted]
    arguments = {"grad_out": meta(gradient), "input": meta(x), "normalized_shape": [24], "output_mask": mask}
    assert inside("native_layer_norm_backward", arguments, threads=torch.get_num_threads()) == held_inside(
        aten.native_layer_norm_backward, gradient, x, [24], row, row, weight, weight, mask
    )


@few
@given(dtype=DTYPES, queries=st.sampled_from([5, 48, 200, 800]), keys=st.sampled_from([7, 600]))
def test_flash_attention_works_in_blocks_for_each_thread(dtype, queries, keys):
    query, key = torch.ones(1, 2, queries, 16, dtype=dtype), torch.ones(1, 2, keys, 16, dtype=dtype)
    threads = torch.get_num_threads()
    forward = "_scaled_dot_product_flash_attention_for_cpu"
    call = getattr(aten, forward)
    arguments = {"query": meta(query), "key": meta(key), "value": meta(key)}
    assert inside(forward, arguments, threads=threads) == held_inside(call, query, key, key)
    out, logsumexp = call(query, key, key)
    backward = getattr(aten, forward + "_backward")
    arguments = {"grad_out": meta(out), **arguments}
    found = held_inside(backward, out, query, key, key, out, logsumexp, 0.0, False)
    inner = 3 * threads * MATMUL_SCRATCHPAD_BYTES if dtype == torch.bfloat16 else 0  # of the products of blocks
    assert 0 <= found - inside(forward + "_backward", arguments, threads=threads) <= inner


def test_expanded_indices_are_copied_and_a_plain_matrix_is_not():
    weight, plain = torch.ones(8, 4), torch.zeros(3, 5, dtype=torch.int64)
    for indices in (plain, plain[:1].expand(3, 5)):
        assert inside("embedding", {"weight": meta(weight), "indices": meta(indices)}) == held_inside(
            aten.embedding, weight, indices
        )


@pytest.mark.skipif(not AVX512, reason="blocks are AVX-512's")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "sizes",
    [
        (64, 128, 3, 1, 1),
        (64, 128, 3, 2, 1),
        (24, 40, 3, 1, 1),
        (64, 256, 1, 1, 1),
        (64, 64, 7, 1, 64),
        (3, 64, 7, 2, 1),
    ],
    ids=lambda sizes: "channels-{}-{}-kernel-{}-stride-{}-groups-{}".format(*sizes),
)
def test_a_convolution_copies_into_onednns_layouts(sizes, dtype, layout):
    channels, width, kernel, stride, groups = sizes
    x = torch.randn(4, channels, 28, 28).to(dtype).contiguous(memory_format=layout)
    weight = torch.randn(width, channels // groups, kernel, kernel).to(dtype).contiguous(memory_format=layout)
    same = {"stride": [stride] * 2, "padding": [kernel // 2] * 2, "dilation": [1, 1], "transposed": False}
    rest = {"output_padding": [0, 0], "groups": groups}
    threads = torch.get_num_threads()
    y = aten.convolution(x, weight, None, *same.values(), *rest.values())
    forward = inside("convolution", {"input": meta(x), "weight": meta(weight), **same, **rest}, [meta(y)], threads)
    found = held_inside(aten.convolution, x, weight, None, *same.values(), *rest.values())
    moved = sum(tensor.numel() * tensor.dtype.itemsize for tensor in (x, weight, y))
    batches = 8192 * (threads + 1)  # lists of the blocks to multiply, a few KiB a thread
    assert abs(forward - found) <= 0.01 * moved + batches
    mask = [channels > 3, True, False]
    arguments = {"grad_output": meta(y), "input": meta(x), "weight": meta(weight), **same, **rest, "output_mask": mask}
    backward = inside("convolution_backward", arguments, threads=threads)
    found = held_inside(aten.convolution_backward, y, x, weight, None, *same.values(), *rest.values(), mask)
    scratchpads = 512 * 1024 * threads  # parts of images, transposed: of a size that does not grow with the batch
    if groups > 1 and dtype == torch.bfloat16:
        scratchpads += 4 * 16 * 16 * groups * kernel**2  # large images add up a second copy of the blocks
    exact = dtype == torch.float32 and threads == 1  # more threads sum the weight's gradient in parts
    assert abs(backward - found) <= (64 if exact else 0.01 * moved + scratchpads)


@given(channels=st.integers(4, 200), side=st.integers(1, 30), batch=st.integers(2, 9))
def test_a_convolutions_copies_grow_with_the_batch(channels, side, batch):
    def held(count):
        x, weight = (
            torch.empty(count, channels, side, side, device="meta"),
            torch.empty(32, channels, 3, 3, device="meta"),
        )
        y = torch.empty(count, 32, side, side, device="meta")
        arguments = {
            "input": x,
            "weight": weight,
            "stride": [1, 1],
            "dilation": [1, 1],
            "transposed": False,
            "groups": 1,
        }
        return inside("convolution", arguments, [y])

    image = math.ceil(channels / 16) * 16 * side * side * 4
    assert 0 < held(batch + 1) - held(batch) <= image + 32 * side * side * 4


def test_operators_without_buffers_hold_nothing():
    x = torch.ones(4, 4, device="meta")
    assert inside("relu", {"self": x}, [x]) == 0
    assert CpuKernels().workspace_bytes("aten.mm.default") == 0
