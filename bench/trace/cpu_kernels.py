"""What CPU kernels allocate besides their outputs, by operator: casts, contiguous copies, buffers of threads.

Sizes follow ATen's sources (https://github.com/pytorch/pytorch/tree/v2.7.0/aten/src/ATen/native) and were compared
with the allocator's own reports on x86-64 with AVX-512 (tests/bench/trace/test_cpu_kernels.py).

Known limitations: what a kernel takes past torch's allocator (MKL's and oneDNN's own buffers) is not seen; oneDNN's
scratchpads for bf16 matrix products depend on the instruction set and are bounded by `MATMUL_SCRATCHPAD_BYTES`.
"""

from collections.abc import Callable
from typing import Any

import torch

from sslbench.bench.trace import cpu_layers
from sslbench.bench.trace.cpu_call import HALF, KernelCall, Sizes, contiguous_copy, nbytes
from sslbench.bench.trace.cpu_convolutions import convolution, convolution_backward

_SCALAR_BYTES = 8
"""A Python number becomes a tensor of one double or int64."""
_TRANSPOSE_BLOCK = 60
"""`copy_transpose` goes through a square of this many rows and columns (BLOCK_SZ in Copy.cpp)."""
MATMUL_SCRATCHPAD_BYTES = 65 * 1024
"""A thread's blocks in oneDNN's bf16 matrix products: most shapes; small ones take less, a few more."""


class CpuKernels:
    """What CPU kernels allocate besides their outputs.

    Args:
        threads: that operators compute with; None: as many as this process uses.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = torch.get_num_threads() if threads is None else threads

    def temporaries(
        self, name: str, inputs: list[torch.Tensor], arguments: dict[str, Any], outputs: list[torch.Tensor]
    ) -> tuple[int, ...]:
        """Bytes of each storage that the kernel holds at its own peak, beside its outputs."""
        kernel = _KERNELS.get(name.split(".")[1])
        if kernel is None:
            return ()
        return tuple(size for size in kernel(KernelCall(inputs, arguments, outputs, self._threads)) if size)

    def workspace_bytes(self, name: str) -> int:
        """None of the libraries keeps a workspace that torch's allocator sees."""
        return 0


# ---------------------------------------------------------------------- pointwise
def _pointwise(call: KernelCall) -> Sizes:
    """TensorIterator on a CPU copies every operand that is not of the common type (`make_loops` has no casts).

    https://github.com/pytorch/pytorch/blob/v2.7.0/aten/src/ATen/TensorIterator.cpp (compute_types)
    """
    operands = [call.arguments[name] for name in ("self", "other") if name in call.arguments]
    if len(operands) < 2 or not any(isinstance(operand, torch.Tensor) for operand in operands):
        return
    common = torch.result_type(*operands)
    if call.outputs and call.outputs[0].dtype.is_floating_point and not common.is_floating_point:
        common = call.outputs[0].dtype  # true division of integers
    for operand in operands:
        if isinstance(operand, torch.Tensor):
            yield nbytes(operand, common) if operand.dtype != common else 0
        else:
            yield _SCALAR_BYTES
            own = torch.float64 if isinstance(operand, float) else torch.int64
            yield common.itemsize if own != common else 0


# ---------------------------------------------------------------------- reductions
def _cast_reduction(call: KernelCall) -> Sizes:
    """A reduction whose result is of another type reads a copy of its input in that type (make_reduction)."""
    source, result = call.inputs[0], call.outputs[0]
    yield nbytes(source, result.dtype) if source.dtype != result.dtype else 0


def _mean(call: KernelCall) -> Sizes:
    """Half precision is summed in fp32, from a copy; the division takes its divisor as a tensor (mean_kernel_impl)."""
    source, result = call.inputs[0], call.outputs[0]
    if source.dtype in HALF:
        yield nbytes(source, torch.float32)
        yield nbytes(result, torch.float32) if result.dtype in HALF else 0
    else:
        yield from (_SCALAR_BYTES, result.dtype.itemsize)


def _pair_loss(call: KernelCall) -> Sizes:
    """`mse_loss` and its like keep every element's loss until they are averaged (Loss.cpp)."""
    source = call.inputs[0]
    if call.arguments["reduction"] == 0:
        return
    yield nbytes(source)
    if source.dtype in HALF:
        yield from (nbytes(source, torch.float32), 4)
    else:
        yield from (_SCALAR_BYTES, source.dtype.itemsize)


def _bce_with_logits(call: KernelCall) -> Sizes:
    """`log_sigmoid` and the elementwise loss, then the mean (Loss.cpp, binary_cross_entropy_with_logits)."""
    yield nbytes(call.inputs[0])
    yield from _pair_loss(call)


def _logsumexp(call: KernelCall) -> Sizes:
    """The exponentials and the maxima (ReduceOps.cpp, logsumexp_out_impl)."""
    yield from (nbytes(call.inputs[0]), nbytes(call.outputs[0]))


def _safe_softmax(call: KernelCall) -> Sizes:
    """A mask of infinities, whether a row has nothing else, and a zero (transformers/attention.cpp, _safe_softmax)."""
    source = call.inputs[0]
    yield from (source.numel(), source.numel() // max(1, source.shape[call.arguments["dim"]]), source.dtype.itemsize)


def _sort(call: KernelCall) -> Sizes:
    """One line's indices (cpu/SortingKernel.cpp)."""
    source = call.inputs[0]
    yield 8 * source.shape[call.arguments["dim"]] if source.dim() else 0


# ---------------------------------------------------------------------- copies
def _contiguous_inputs(call: KernelCall) -> Sizes:
    """The kernel begins with `.contiguous()` of its inputs (softmax and its gradient)."""
    yield from map(contiguous_copy, call.inputs)


def _copy(call: KernelCall) -> Sizes:
    """A transposed matrix is copied by blocks (cpu/CopyKernel.cpp, Copy.cpp: copy_transpose_valid)."""
    source = call.inputs[-1]
    result = call.outputs[0] if call.outputs else call.inputs[0]
    if (
        source.dim() == 2
        and source.dtype == result.dtype
        and result.is_contiguous()
        and source.stride() == (1, source.shape[0])
        and source.numel() >= _TRANSPOSE_BLOCK**2
        and not source.is_contiguous()
    ):
        yield _TRANSPOSE_BLOCK**2 * source.dtype.itemsize


def _embedding(call: KernelCall) -> Sizes:
    """`indices.reshape(-1)`, in the gradient `.contiguous()`: a copy where they were expanded or transposed."""
    yield contiguous_copy(call.arguments["indices"])


def _gelu_backward(call: KernelCall) -> Sizes:
    """OneDNN brings both operands into one layout where theirs differ (Activation.cpp, gelu_backward_out_cpu)."""
    gradient, source = call.inputs
    if source.is_contiguous() and not gradient.is_contiguous():
        yield from (nbytes(gradient), nbytes(source))


def _roll(call: KernelCall) -> Sizes:
    """One dimension after the other (TensorTransformations.cpp, roll_common)."""
    yield from [nbytes(call.inputs[0])] * (len(call.arguments["dims"]) - 1)


# ---------------------------------------------------------------------- products
def _matmul(call: KernelCall) -> Sizes:
    """In half precision oneDNN takes a scratchpad; fp32 goes to MKL, whose buffers torch's allocator does not see."""
    if call.inputs[-1].dtype in HALF:
        yield call.threads * MATMUL_SCRATCHPAD_BYTES


def _convolution(call: KernelCall) -> Sizes:
    yield convolution(call.arguments, call.outputs, call.threads)


def _convolution_backward(call: KernelCall) -> Sizes:
    yield convolution_backward(call.arguments, call.outputs, call.threads)


def _table(*rows: tuple[str, Callable[[KernelCall], Sizes]]) -> dict[str, Callable[[KernelCall], Sizes]]:
    return {name: kernel for names, kernel in rows for name in names.split()}


_KERNELS = _table(
    ("add add_ sub sub_ rsub mul mul_ div div_ remainder floor_divide fmod", _pointwise),
    ("eq ne lt le gt ge eq_ ne_ maximum minimum atan2 bitwise_and bitwise_or bitwise_xor", _pointwise),
    ("sum cumsum prod linalg_vector_norm", _cast_reduction),
    ("mean", _mean),
    ("mse_loss smooth_l1_loss huber_loss", _pair_loss),
    ("binary_cross_entropy_with_logits", _bce_with_logits),
    ("logsumexp", _logsumexp),
    ("_safe_softmax", _safe_softmax),
    ("sort", _sort),
    ("_softmax _log_softmax _softmax_backward_data _log_softmax_backward_data", _contiguous_inputs),
    ("clone copy_ _to_copy", _copy),
    ("embedding embedding_dense_backward", _embedding),
    ("gelu_backward", _gelu_backward),
    ("roll", _roll),
    ("native_layer_norm", cpu_layers.layer_norm),
    ("native_layer_norm_backward", cpu_layers.layer_norm_backward),
    ("native_group_norm_backward", cpu_layers.group_norm_backward),
    ("native_batch_norm", cpu_layers.batch_norm),
    ("native_batch_norm_backward", cpu_layers.batch_norm_backward),
    ("_scaled_dot_product_flash_attention_for_cpu", cpu_layers.flash),
    ("_scaled_dot_product_flash_attention_for_cpu_backward", cpu_layers.flash_backward),
    ("mm addmm bmm baddbmm", _matmul),
    ("convolution", _convolution),
    ("convolution_backward", _convolution_backward),
)
