"""Which kernels are timed on a GPU, and for which sizes: those of BERT, ViT and ResNet-50, and squares."""

from sslbench.kernels.micro.micro import Shape

MIB = 2**20

_MATMUL: tuple[Shape, ...] = (
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (4096, 4096, 4096),
    (8192, 8192, 8192),
    (4096, 768, 768),
    (4096, 3072, 768),
    (4096, 768, 3072),
    (16384, 1024, 1024),
    (16384, 4096, 1024),
    (16384, 1024, 4096),
    (768, 768, 16384),
    (4096, 30522, 768),
    (64, 1000, 2048),
)
_CONVOLUTION: tuple[Shape, ...] = (
    (64, 3, 224, 224, 64, 7, 2, 1),
    (64, 64, 56, 56, 64, 3, 1, 1),
    (64, 64, 56, 56, 256, 1, 1, 1),
    (64, 128, 28, 28, 128, 3, 1, 1),
    (64, 256, 14, 14, 256, 3, 1, 1),
    (64, 1024, 14, 14, 256, 1, 1, 1),
    (64, 512, 7, 7, 512, 3, 1, 1),
    (64, 3, 224, 224, 768, 16, 16, 1),
    (64, 96, 56, 56, 96, 7, 1, 96),
)
_ATTENTION: tuple[Shape, ...] = (
    (32, 12, 128, 128, 64),
    (32, 12, 512, 512, 64),
    (64, 12, 197, 197, 64),
    (2, 16, 4096, 4096, 64),
)
_TRANSFER: tuple[Shape, ...] = tuple((size * MIB,) for size in (1, 16, 256))

PRODUCTS: dict[str, tuple[Shape, ...]] = {
    "matmul": _MATMUL,
    "batched_matmul": ((384, 128, 128, 64), (384, 512, 512, 64), (384, 512, 64, 512)),
    "convolution": _CONVOLUTION,
    "convolution_backward": _CONVOLUTION,
}
"""By kernel, in every type that the card multiplies in."""
HALF_SHAPES: dict[str, tuple[Shape, ...]] = PRODUCTS | {
    "convolution_nhwc": _CONVOLUTION,
    "convolution_backward_nhwc": _CONVOLUTION,
    "attention": _ATTENTION,
    "attention_backward": _ATTENTION,
}
"""The same in bf16 and fp16."""
SHAPES: dict[str, tuple[Shape, ...]] = {
    "dispatch": ((),),
    "eager_block": ((),),
    "add": ((2**22,), (2**26,)),
    "copy": tuple((size * MIB,) for size in (1, 4, 16, 64, 256, 1024)),
    **dict.fromkeys(("host_to_device", "host_to_device_pinned", "device_to_host", "device_to_host_pinned"), _TRANSFER),
    **PRODUCTS,
    "attention": _ATTENTION,
    "attention_backward": _ATTENTION,
}
"""The same in fp32, and what does not depend on the type."""
