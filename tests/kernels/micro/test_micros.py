"""Every micro-kernel runs, on the processor as on a GPU."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sslbench.kernels.micro import cpu_shapes, cuda_shapes
from sslbench.kernels.micro.launch import BLOCK_OPERATORS, Block
from sslbench.kernels.micro.registry import MICROS

SMALL = {
    ("m", "n", "k"): (8, 8, 8),
    ("b", "m", "n", "k"): (2, 8, 8, 8),
    ("n", "c", "h", "w", "o", "kernel", "stride", "groups"): (1, 4, 8, 8, 4, 3, 1, 1),
    ("b", "heads", "queries", "keys", "head_dim"): (1, 2, 8, 8, 8),
    ("n", "c", "h", "w"): (2, 3, 8, 8),
    ("bytes",): (4096,),
    (): (),
}
SUITES = (cpu_shapes.SHAPES, cpu_shapes.HALF_SHAPES, cuda_shapes.SHAPES, cuda_shapes.PRODUCTS, cuda_shapes.HALF_SHAPES)


def small(micro):
    return SMALL.get(micro.shape_names, tuple(4 + 4 * place for place in range(len(micro.shape_names))))


@pytest.mark.parametrize("name", [name for name in MICROS if "pinned" not in name])
def test_it_runs_again_and_again(name):
    micro = MICROS[name]
    assert micro.kernel == name
    with torch.set_grad_enabled(micro.autograd):
        call = micro.build(torch.device("cpu"), torch.float32, small(micro))
        call()
        call()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
@pytest.mark.parametrize("name", MICROS)
def test_it_runs_on_a_gpu(name):
    micro = MICROS[name]
    with torch.set_grad_enabled(micro.autograd):
        micro.build(torch.device("cuda"), torch.float32, small(micro))()
    torch.cuda.synchronize()


@pytest.mark.parametrize("suite", SUITES)
def test_every_size_has_as_many_numbers_as_its_kernel_has_names(suite):
    for kernel, shapes in suite.items():
        assert all(len(shape) == len(MICROS[kernel].shape_names) for shape in shapes), kernel
        assert len(set(shapes)) == len(shapes), kernel


def test_the_block_has_as_many_operators_as_it_says():
    class Counter(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            self.calls += 1
            return function(*arguments, **(options or {}))

    with torch.no_grad():
        block, x = Block(), torch.randn(1, 8, 64)
        with Counter() as counter:
            assert block(x).shape == x.shape
    assert counter.calls == BLOCK_OPERATORS
