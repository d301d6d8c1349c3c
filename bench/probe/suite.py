"""Which kernels are timed on a device, in which types."""

import torch

from sslbench.bench.probe.run import Suite
from sslbench.hardware_profiles.processor import instructions
from sslbench.hardware_profiles.schema import DType
from sslbench.kernels.micro import cpu_shapes, cuda_shapes
from sslbench.kernels.micro.micro import Shape

_NATIVE: dict[DType, frozenset[str]] = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "fp16": frozenset({"avx512_fp16", "amx_fp16"}),
}
"""Instructions that multiply in a type; without them it is slower than fp32 and takes minutes to time."""


def suite_of(device: torch.device) -> Suite:
    """The kernels and sizes of a device, in the order in which they are timed."""
    return _of_processor() if device.type == "cpu" else _of_cuda(torch.cuda.get_device_capability(device))


def _of_processor() -> Suite:
    suite = _in_type(cpu_shapes.SHAPES, "fp32")
    for dtype, needed in _NATIVE.items():
        if needed & set(instructions()):
            suite |= _in_type(cpu_shapes.HALF_SHAPES, dtype)
    return suite


def _of_cuda(capability: tuple[int, int]) -> Suite:
    """Ampere (8.0) is the first with bf16 and TF32; fp16 without tensor cores (before 7.0) is left out."""
    suite = _in_type(cuda_shapes.SHAPES, "fp32")
    if capability >= (8, 0):
        suite |= _in_type(cuda_shapes.PRODUCTS, "tf32") | _in_type(cuda_shapes.HALF_SHAPES, "bf16")
    if capability >= (7, 0):
        suite |= _in_type(cuda_shapes.HALF_SHAPES, "fp16")
    return suite


def _in_type(shapes: dict[str, tuple[Shape, ...]], dtype: DType) -> dict[tuple[str, DType], tuple[Shape, ...]]:
    return {(kernel, dtype): sizes for kernel, sizes in shapes.items()}
