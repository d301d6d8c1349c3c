"""What a kernel computes and moves, beside torch's own count of its operators and the sizes of its tensors."""

from math import prod

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

from sslbench.hardware_profiles.work import kernel_bytes, kernel_flops
from sslbench.kernels.micro.registry import MICROS

SHAPES = [
    ("matmul", (64, 48, 32)),
    ("batched_matmul", (3, 16, 24, 32)),
    ("convolution", (2, 6, 12, 10, 8, 3, 2, 1)),
    ("convolution", (2, 6, 12, 10, 6, 3, 1, 6)),
    ("convolution", (2, 3, 32, 32, 8, 8, 8, 1)),
    ("convolution_nhwc", (2, 6, 12, 12, 8, 1, 1, 1)),
    ("convolution_backward", (2, 6, 12, 10, 8, 3, 1, 1)),
    ("attention", (2, 3, 16, 24, 8)),
]


class Touched(TorchDispatchMode):
    """Bytes of every tensor that an operator takes or gives, views left out."""

    def __init__(self):
        super().__init__()
        self.sizes = {}

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        for tensor in tree_flatten((arguments, result))[0]:
            if isinstance(tensor, torch.Tensor) and tensor.numel():
                self.sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return result


@pytest.mark.parametrize(("kernel", "shape"), SHAPES)
def test_flops_are_those_that_torch_counts(kernel, shape):
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # as products, which it counts
        call = MICROS[kernel].build(torch.device("cpu"), torch.float32, shape)
        with FlopCounterMode(display=False) as counter:
            call()
    assert kernel_flops(kernel, shape) == counter.get_total_flops()


@pytest.mark.parametrize(("kernel", "shape"), [each for each in SHAPES if "backward" not in each[0]])
def test_bytes_are_those_of_the_tensors(kernel, shape):
    with torch.no_grad():
        call = MICROS[kernel].build(torch.device("cpu"), torch.float32, shape)
        with Touched() as touched:
            result = call()
    assert result is not None
    small = 4 * prod(shape[:3]) if kernel == "attention" else 4 * max(shape)  # sums for a backward pass; a bias
    assert 0 <= sum(touched.sizes.values()) - kernel_bytes(kernel, "fp32", shape) <= small


def test_a_copy_reads_and_writes_and_a_launch_moves_nothing():
    assert kernel_bytes("copy", "fp32", (1000,)) == 2000
    assert kernel_bytes("host_to_device_pinned", "fp32", (1000,)) == 1000
    assert kernel_bytes("dispatch", "fp32", ()) is None
    assert kernel_flops("copy", (1000,)) is None
