"""Which kernels are timed on a processor, and for which sizes: those that small steps of the catalog are made of."""

from sslbench.kernels.micro.micro import Shape

KIB, MIB = 2**10, 2**20

_MATMUL: tuple[Shape, ...] = (
    (1024, 1024, 1024),
    (1024, 256, 256),
    (1024, 1024, 256),
    (1024, 256, 1024),
    (256, 1024, 1024),
    (256, 256, 2048),
    (3152, 192, 192),
    (256, 768, 192),
    (256, 192, 768),
    (768, 192, 256),
    (192, 192, 256),
    (128, 192, 192),
    (64, 768, 192),
    (64, 64, 64),
    (16, 512, 512),
    (256, 8192, 256),
    (8192, 256, 256),
    (256, 256, 8192),
)
_CONVOLUTION: tuple[Shape, ...] = (
    (8, 3, 96, 96, 64, 7, 2, 1),
    (8, 3, 96, 96, 192, 16, 16, 1),
    (8, 64, 24, 24, 64, 3, 1, 1),
    (8, 64, 24, 24, 128, 3, 2, 1),
    (8, 128, 12, 12, 128, 3, 1, 1),
    (8, 256, 6, 6, 256, 3, 1, 1),
    (8, 256, 6, 6, 512, 3, 2, 1),
    (8, 512, 3, 3, 512, 3, 1, 1),
    (32, 512, 1, 1, 512, 3, 1, 1),
    (8, 128, 12, 12, 256, 1, 2, 1),
    (8, 64, 24, 24, 256, 1, 1, 1),
    (8, 96, 24, 24, 96, 3, 1, 96),
)
_ATTENTION: tuple[Shape, ...] = ((16, 3, 16, 16, 64), (8, 4, 64, 64, 64), (4, 6, 128, 128, 48), (8, 3, 197, 197, 64))
_ELEMENTS: tuple[Shape, ...] = ((2**10,), (2**14,), (2**17,), (2**20,), (2**22,))
_FEW_ELEMENTS: tuple[Shape, ...] = ((2**14,), (2**18,), (2**21,))
_ROWS: tuple[Shape, ...] = ((1024, 256), (256, 192), (4096, 1024))
_SCORES: tuple[Shape, ...] = ((4096, 128), (512, 16), (256, 20000))
_IMAGES: tuple[Shape, ...] = ((8, 64, 24, 24), (8, 512, 3, 3), (16, 128, 32, 32))

SHAPES: dict[str, tuple[Shape, ...]] = {
    "matmul": _MATMUL,
    "batched_matmul": ((32, 197, 197, 64), (32, 197, 64, 197), (32, 128, 128, 64), (256, 32, 32, 64)),
    "convolution": _CONVOLUTION,
    "convolution_backward": _CONVOLUTION,
    "attention": _ATTENTION,
    "attention_backward": _ATTENTION,
    "copy": tuple((size,) for size in (16 * KIB, 128 * KIB, 512 * KIB, 2 * MIB, 8 * MIB, 32 * MIB, 128 * MIB)),
    "add": _ELEMENTS,
    "mul_inplace": _ELEMENTS,
    **dict.fromkeys(("sqrt", "gelu", "gelu_backward", "silu", "bernoulli", "norm"), _FEW_ELEMENTS),
    **dict.fromkeys(("softmax", "softmax_backward", "log_softmax", "log_softmax_backward"), _SCORES),
    **dict.fromkeys(("sum_rows", "layer_norm", "layer_norm_backward"), _ROWS),
    **dict.fromkeys(("batch_norm", "batch_norm_backward"), _IMAGES),
    **dict.fromkeys(("max_pool", "max_pool_backward"), ((8, 64, 48, 48),)),
    "strided_copy": ((8, 128, 4, 64), (32, 197, 3, 64)),
    "fresh_memory": ((256 * MIB,),),  # more than any free block of the heap
    "dispatch": ((),),
    "dispatch_autograd": ((),),
    "dispatch_backward": ((),),
    "module_call": ((),),
}
"""By kernel, in fp32."""
HALF_SHAPES: dict[str, tuple[Shape, ...]] = {"matmul": _MATMUL}
"""The same in bf16 and fp16, where the processor multiplies in them."""
