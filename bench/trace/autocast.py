"""CUDA's autocast policy for tensors that C++ sees on the meta device.

The lists are those of aten/src/ATen/autocast_mode.h (AT_FORALL_LOWER_PRECISION_FP, AT_FORALL_FP32,
AT_FORALL_FP32_SET_OPT_DTYPE, AT_FORALL_PROMOTE). Kernels are registered on the dispatch key AutocastPrivateUse1, which
no CUDA or CPU build uses, and the key is switched on while `torch.autocast("cuda")` is.
https://github.com/pytorch/pytorch/blob/v2.7.0/aten/src/ATen/autocast_mode.h
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._C import DispatchKey, DispatchKeySet

_KEY = "AutocastPrivateUse1"
_DISPATCH_KEY = DispatchKey.AutocastPrivateUse1  # type: ignore[attr-defined]  # missing in the stubs
_KEY_SET = DispatchKeySet(_DISPATCH_KEY)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LOWER_PRECISION = _names(
    """
    _convolution.deprecated _convolution conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d.input
    conv_transpose3d.input convolution prelu addmm addmv addr matmul einsum mm mv linalg_vecdot linear addbmm
    baddbmm bmm chain_matmul linalg_multi_dot _scaled_dot_product_flash_attention scaled_dot_product_attention
    """
)
FP32 = _names(
    """
    acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow.Tensor_Scalar
    pow.Tensor_Tensor pow.Scalar softplus layer_norm native_layer_norm rms_norm group_norm frobenius_norm.dim
    nuclear_norm nuclear_norm.dim cosine_similarity poisson_nll_loss cosine_embedding_loss nll_loss nll_loss_nd
    nll_loss2d hinge_embedding_loss kl_div l1_loss smooth_l1_loss huber_loss mse_loss margin_ranking_loss
    multilabel_margin_loss soft_margin_loss triplet_margin_loss multi_margin_loss binary_cross_entropy_with_logits
    dist pdist cdist renorm logsumexp upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d
    upsample_bilinear2d _upsample_bilinear2d_aa upsample_trilinear3d upsample_bicubic2d _upsample_bicubic2d_aa
    """
)
FP32_UNLESS_ASKED = _names(
    """
    prod prod.dim_int softmax.int log_softmax.int cumprod cumsum linalg_vector_norm sum sum.dim_IntList
    """
)
PROMOTE = _names(
    """
    addcdiv addcmul atan2 bilinear cross dot vdot grid_sampler index_put tensordot scatter_add cat stack
    """
)


class _Policy:
    """Casts of one trace, with autocast's cache of weight casts."""

    def __init__(self) -> None:
        self.casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """Parameter (kept alive, so that its id stays its own) and its cast, by the parameter's id."""

    def cast(self, value: Any, dtype: torch.dtype) -> Any:
        if isinstance(value, list | tuple):
            return [self.cast(item, dtype) for item in value]
        if not _eligible(value) or value.dtype == dtype:
            return value
        if self._cacheable(value, dtype):
            if id(value) not in self.casts:
                self.casts[id(value)] = (value, torch.ops.aten.to.dtype(value, dtype))
            return self.casts[id(value)][1]
        return torch.ops.aten.to.dtype(value, dtype)

    @staticmethod
    def _cacheable(value: torch.Tensor, dtype: torch.dtype) -> bool:
        return (
            torch.is_autocast_cache_enabled()
            and dtype == torch.get_autocast_dtype("cuda")
            and value.dtype == torch.float32
            and value.requires_grad
            and value.is_leaf
            and not value._is_view()
        )

    def lower(self, op: Any) -> Callable[..., Any]:
        """Inputs in the autocast type."""
        return self._casting(op, lambda: torch.get_autocast_dtype("cuda"))

    def fp32(self, op: Any) -> Callable[..., Any]:
        """Inputs in fp32."""
        return self._casting(op, lambda: torch.float32)

    def _casting(self, op: Any, wanted: Callable[[], torch.dtype]) -> Callable[..., Any]:
        def kernel(*args: Any, **kwargs: Any) -> Any:
            with torch._C._ExcludeDispatchKeyGuard(_KEY_SET):
                dtype = wanted()
                cast = list(args)
                for position in reversed(range(len(cast))):  # C++ compilers here evaluate arguments right to left
                    cast[position] = self.cast(cast[position], dtype)
                return op(*cast, **{name: self.cast(value, dtype) for name, value in kwargs.items()})

        return kernel

    def fp32_unless_asked(self, op: Any) -> Callable[..., Any]:
        """The result in fp32, where the caller names no type."""
        parameters = op._schema.arguments
        position = next(index for index, parameter in enumerate(parameters) if parameter.name == "dtype")
        keyword_only = parameters[position].kwarg_only

        def kernel(*args: Any, **kwargs: Any) -> Any:
            with torch._C._ExcludeDispatchKeyGuard(_KEY_SET):
                given = kwargs.get("dtype")
                if given is None and not keyword_only and len(args) > position:
                    given = args[position]
                if _eligible(args[0]) and given is None:
                    args = args if keyword_only else args[:position]
                    kwargs = {**kwargs, "dtype": torch.float32}
                return op(*args, **kwargs)

        return kernel

    def promote(self, op: Any) -> Callable[..., Any]:
        """Inputs in the widest type among them."""

        def kernel(*args: Any, **kwargs: Any) -> Any:
            with torch._C._ExcludeDispatchKeyGuard(_KEY_SET):
                lowest = torch.get_autocast_dtype("cuda")
                dtype = torch.float32 if _any_fp32(args) else lowest
                return op(*[self.cast(arg, dtype) for arg in args], **kwargs)

        return kernel


def _eligible(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.dtype != torch.float64
        and value.device.type == "cuda"
    )


def _any_fp32(values: Any) -> bool:
    return any(
        _any_fp32(value) if isinstance(value, list | tuple) else _eligible(value) and value.dtype == torch.float32
        for value in values
    )


def _register(library: Any, names: tuple[str, ...], wrap: Callable[[Any], Callable[..., Any]]) -> None:
    for name in names:
        packet_name, _, overload = name.partition(".")
        packet = getattr(torch.ops.aten, packet_name, None)
        op = getattr(packet, overload or "default", None)
        if op is not None and not op._schema.is_mutable:
            library.impl(name, wrap(op), _KEY)


@contextmanager
def cuda_autocast_policy() -> Iterator[None]:
    """While active, `torch.autocast("cuda")` casts as on CUDA."""
    policy = _Policy()
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]  # torch's own
    fallthrough: Any = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]  # torch's own
    set_enabled, clear_cache = torch.set_autocast_enabled, torch.clear_autocast_cache

    def set_autocast_enabled(device: Any, enabled: bool | None = None) -> None:
        name, on = ("cuda", device) if enabled is None else (device, enabled)
        set_enabled(name, on)
        if name == "cuda":
            torch._C._dispatch_tls_set_dispatch_key_included(_DISPATCH_KEY, on)
            torch._C._dispatch_tls_set_dispatch_key_excluded(_DISPATCH_KEY, not on)

    def clear_autocast_cache() -> None:
        policy.casts.clear()
        clear_cache()

    try:
        fallthrough.fallback(torch.library.fallthrough_kernel, _KEY)
        _register(library, LOWER_PRECISION, policy.lower)
        _register(library, FP32, policy.fp32)
        _register(library, FP32_UNLESS_ASKED, policy.fp32_unless_asked)
        _register(library, PROMOTE, policy.promote)
        torch.set_autocast_enabled, torch.clear_autocast_cache = set_autocast_enabled, clear_autocast_cache  # type: ignore[assignment]
        yield
    finally:
        torch.set_autocast_enabled, torch.clear_autocast_cache = set_enabled, clear_cache
        torch._C._dispatch_tls_set_dispatch_key_included(_DISPATCH_KEY, False)
        torch._C._dispatch_tls_set_dispatch_key_excluded(_DISPATCH_KEY, True)
        library._destroy()
        fallthrough._destroy()
