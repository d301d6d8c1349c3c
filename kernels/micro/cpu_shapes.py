"""Which kernels are timed on a processor, and for which sizes: those that small steps of the catalog are made of."""

from sslbench.kernels.micro.micro import Shape

KIB, MIB = 2**10, 2**20

_MATMUL: tuple[Shape, ...] = (
    (1024, 1024, 1024),
    (1024, 256, 256),
    (1024, 1024, 256),
    (1024, 256, 1024),
    (3152, 192, 192),
    (3152, 768, 192),
    (64, 64, 64),
    (8, 128, 256),
    (256, 30522, 256),
    (256, 256, 30522),
    (192, 192, 3152),
    (256, 1024, 1024),
)
_CONVOLUTION: tuple[Shape, ...] = (
    (8, 3, 224, 224, 64, 7, 2, 1),
    (8, 64, 56, 56, 64, 3, 1, 1),
    (8, 128, 28, 28, 128, 3, 1, 1),
    (8, 256, 14, 14, 256, 3, 1, 1),
    (8, 512, 7, 7, 512, 3, 1, 1),
    (8, 64, 56, 56, 128, 1, 2, 1),
    (8, 3, 224, 224, 192, 16, 16, 1),
    (8, 96, 56, 56, 96, 3, 1, 96),
)
_ATTENTION: tuple[Shape, ...] = ((8, 4, 128, 128, 64), (16, 3, 197, 197, 64), (1, 12, 1024, 1024, 64))

SHAPES: dict[str, tuple[Shape, ...]] = {
    "matmul": _MATMUL,
    "batched_matmul": ((32, 197, 197, 64), (32, 197, 64, 197), (32, 128, 128, 64), (32, 128, 64, 128)),
    "convolution": _CONVOLUTION,
    "convolution_backward": _CONVOLUTION,
    "attention": _ATTENTION,
    "attention_backward": _ATTENTION,
    "copy": tuple((size,) for size in (16 * KIB, 128 * KIB, 512 * KIB, 2 * MIB, 8 * MIB, 32 * MIB, 128 * MIB)),
    "dispatch": ((),),
}
"""By kernel, in fp32."""
HALF_SHAPES: dict[str, tuple[Shape, ...]] = {"matmul": _MATMUL}
"""The same in bf16 and fp16, where the processor multiplies in them."""
