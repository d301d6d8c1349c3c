"""The kernels that CUDA chooses where a CPU-only torch would take another road.

Registered for the meta device while a CUDA trace runs: attention, batch norm, dropout, softmax. Each entry says what
CUDA does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_aten = torch.ops.aten
_HALF = (torch.float16, torch.bfloat16)
FLASH_MAX_HEAD_SIZE = 256
FLASH_MIN_CAPABILITY = (8, 0)
# cuBLAS's workspace for one handle and stream lies in the caching allocator (:4096:2:16:8; :4096:8 from sm_90 on).
# https://github.com/pytorch/pytorch/blob/v2.7.0/aten/src/ATen/cuda/CublasHandlePool.cpp
# torch.cuda.memory_allocated() after a 1x1 Linear is 8519680: https://github.com/pytorch/pytorch/issues/95668
CUBLAS_BYTES = 2 * 4096 * 1024 + 8 * 16 * 1024
CUBLAS_HOPPER_BYTES = 8 * 4096 * 1024
GEMMS = frozenset(
    f"aten.{name}.default" for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "_addmm_activation")
)


@contextmanager
def cuda_kernels(capability: tuple[int, int]) -> Iterator[None]:
    """While active, composite operators on meta tensors decompose as on a GPU of this compute capability."""
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]  # torch's own
    try:
        for name, kernel in {
            "scaled_dot_product_attention": _attention(capability),
            "batch_norm": _batch_norm,
            "dropout": _dropout,
            "softmax.int": _softmax(_aten._softmax.default),
            "log_softmax.int": _softmax(_aten._log_softmax.default),
        }.items():
            library.impl(name, kernel, "AutogradMeta")
        yield
    finally:
        library._destroy()


def _dropout(x: torch.Tensor, p: float, train: bool) -> torch.Tensor:
    """CUDA's fused dropout keeps a boolean mask (one byte an element) instead of a scaled one."""
    if p == 0 or not train or x.numel() == 0:
        return x
    result: torch.Tensor = _aten.native_dropout.default(x, p, train)[0]
    return result


def _softmax(kernel: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Half input with an fp32 result is converted inside the kernel on CUDA, without an fp32 copy of the input."""

    def softmax(x: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        if dtype == torch.float32 and x.dtype == torch.float16:
            return kernel(x, dim, True)
        return kernel(x if dtype is None else x.to(dtype), dim, False)

    return softmax


def _batch_norm(  # noqa: PLR0917 - the operator's own signature
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> torch.Tensor:
    """Training in fp32, fp16 or bf16 with fp32 weights takes cuDNN (saved mean and inverse variance), else native."""
    if (
        training
        and cudnn_enabled
        and x.dtype != torch.float64
        and 2 <= x.dim() <= 5
        and weight is not None
        and weight.dtype == torch.float32
        and running_mean is not None
    ):
        channels_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        dense = x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        out = _aten.cudnn_batch_norm.default(dense, weight, bias, running_mean, running_var, training, momentum, eps)
    else:
        out = _aten.native_batch_norm.default(x, weight, bias, running_mean, running_var, training, momentum, eps)
    result: torch.Tensor = out[0]
    return result


def _attention(capability: tuple[int, int]) -> Callable[..., torch.Tensor]:
    """`scaled_dot_product_attention` as sdp_utils.cpp chooses: flash, else memory-efficient, else the plain formula.

    https://github.com/pytorch/pytorch/blob/v2.7.0/aten/src/ATen/native/transformers/cuda/sdp_utils.cpp
    """

    def attention(  # noqa: PLR0917 - the operator's own signature
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if query.dtype == torch.float64 or query.dim() != 4:
            result: torch.Tensor = _aten._scaled_dot_product_attention_math.default(
                query, key, value, attn_mask, dropout_p, is_causal, None, scale=scale, enable_gqa=enable_gqa
            )[0]
            return result
        if (
            query.dtype in _HALF
            and attn_mask is None
            and query.shape[-1] == value.shape[-1]
            and query.shape[-1] <= FLASH_MAX_HEAD_SIZE
            and capability >= FLASH_MIN_CAPABILITY
        ):
            return _flash(query, key, value, dropout_p, is_causal, scale)
        if enable_gqa and key.shape[-3] != query.shape[-3]:
            repeats = query.shape[-3] // key.shape[-3]
            key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
        return _efficient(query, key, value, attn_mask, dropout_p, is_causal, scale)

    return attention


def _flash(  # noqa: PLR0917 - as the operator's
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout_p: float, is_causal: bool, scale: float | None
) -> torch.Tensor:
    """Flash attention; head sizes are padded to a multiple of 8 (`pad_last_dim`)."""
    head_size = query.shape[-1]
    padding = -head_size % 8
    scale = head_size**-0.5 if scale is None else scale
    if padding:
        query, key, value = (torch.nn.functional.pad(tensor, (0, padding)) for tensor in (query, key, value))
    args = (query, key, value, dropout_p, is_causal, False)
    out: torch.Tensor = _aten._scaled_dot_product_flash_attention.default(*args, scale=scale)[0]
    return out[..., :head_size] if padding else out


def _efficient(  # noqa: PLR0917 - as the operator's
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
) -> torch.Tensor:
    """Memory-efficient attention; a boolean mask becomes an additive one, padded to a multiple of 16 (`pad_bias`)."""
    if mask is not None:
        if mask.dtype == torch.bool:
            zero = torch.scalar_tensor(0.0, dtype=query.dtype, device=query.device)
            never = torch.scalar_tensor(float("-inf"), dtype=query.dtype, device=query.device)
            mask = torch.where(mask, zero, never)
        length = mask.shape[-1]
        if length % 16:
            mask = torch.nn.functional.pad(mask, (0, -length % 16))[..., :length]
        mask = mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    keep_logsumexp = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value))
    args = (query, key, value, mask, keep_logsumexp, dropout_p, is_causal)
    result: torch.Tensor = _aten._scaled_dot_product_efficient_attention.default(*args, scale=scale)[0]
    return result


class CudaKernels:
    """What CUDA kernels allocate besides their outputs, on a GPU of a compute capability."""

    def __init__(self, capability: tuple[int, int]) -> None:
        self._cublas_bytes = CUBLAS_HOPPER_BYTES if capability[0] in (9, 10) else CUBLAS_BYTES

    def temporaries(
        self, name: str, inputs: list[torch.Tensor], arguments: dict[str, Any], outputs: list[torch.Tensor]
    ) -> tuple[int, ...]:
        """Bytes that the kernel allocates and frees inside, in order.

        Flash attention's backward accumulates dq in fp32 and keeps the row sums of dO * O, both padded to 128 rows and
        32 columns (mha_bwd in flash_api.cpp: `dq_accum`, `softmax_d`).
        https://github.com/pytorch/pytorch/blob/v2.7.0/aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp
        """
        if name == "aten._scaled_dot_product_flash_attention_backward.default":
            batch, heads, length, head_size = inputs[1].shape
            rows, columns = -(-length // 128) * 128, -(-head_size // 32) * 32
            return (4 * batch * heads * rows, 4 * batch * heads * rows * columns)
        return ()

    def workspace_bytes(self, name: str) -> int:
        """CuBLAS's workspace, for matrix products."""
        return self._cublas_bytes if name in GEMMS else 0
