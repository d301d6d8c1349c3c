"""What torch.compile fuses, against rules that are known and against TorchInductor's own scheduler."""

import pytest
import torch

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.compiled import compiled
from sslbench.bench.predict.compiled_layout import runs_channels_last
from sslbench.bench.predict.time import predict_time
from sslbench.bench.trace.tracer import trace_step

ITEM = 4
F = torch.nn.functional


class Block(torch.nn.Module):
    """A transformer's block with attention in parts."""

    def __init__(self, width=256):
        super().__init__()
        self.first, self.second = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.project = torch.nn.Linear(width, 3 * width)
        self.widen, self.narrow = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x):
        query, key, value = self.project(self.first(x)).chunk(3, -1)
        x = x + torch.softmax(query @ key.transpose(1, 2) / 16, -1) @ value
        return x + self.narrow(F.gelu(self.widen(self.second(x))))


class Gated(torch.nn.Module):
    """Convolutions with a bias, batch normalisation, and a gate from a mean over the image."""

    def __init__(self):
        super().__init__()
        self.wide, self.norm = torch.nn.Conv2d(16, 128, 3, padding=1), torch.nn.BatchNorm2d(128)
        self.point, self.head = torch.nn.Conv2d(128, 128, 1, bias=False), torch.nn.Linear(128, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.wide(x)))
        y = F.silu(self.point(x))
        return self.head((x + y * y.mean((2, 3), keepdim=True)).mean((2, 3)))


SHAPES = {Block: (8, 128, 256), Gated: (8, 16, 32, 32)}


def traced(model, shape, *, train=False):
    def build(device):
        with device:
            network = model().train(train)
        x = torch.randn(*shape, device=device)

        def step():
            if train:
                network(x).sum().backward()
                network.zero_grad()
                return None
            with torch.no_grad():
                return network(x)

        return step

    return trace_step(build, "cuda")


def kernels(trace):
    return [kind for call in trace.calls if not (kind := trace.kinds[call.kind]).is_view]


def moved(kinds):
    return sum(kind.bytes_read + kind.bytes_written for kind in kinds)


def test_a_chain_reads_once_and_writes_once():
    size = 64 * 256 * ITEM
    (kernel,) = kernels(compiled(traced(lambda: torch.nn.Sequential(torch.nn.GELU(), torch.nn.Tanh()), (64, 256))))
    assert kernel.name == "fused pointwise"
    assert (kernel.bytes_read, kernel.bytes_written) == (size, size)


def test_products_stay_what_they_are():
    trace = traced(
        lambda: torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64)), (8, 64)
    )
    names = [kind.name for kind in kernels(compiled(trace))]
    assert names == ["aten.addmm.default", "fused pointwise", "aten.addmm.default"]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("model", SHAPES)
def test_compiled_takes_less_and_computes_the_same(model, train):
    eager = traced(model, SHAPES[model], train=train)
    fused = compiled(eager)
    assert sum(kind.flops for kind in kernels(fused)) == sum(kind.flops for kind in kernels(eager))
    assert moved(kernels(fused)) < moved(kernels(eager))
    assert fused.events == eager.events
    machine = find_machine("rtx-4090")
    assert predict_time(fused, machine).step_seconds < predict_time(eager, machine).step_seconds


def test_convolutions_run_in_nhwc_unless_they_are_grouped():
    def network(groups):
        return lambda: torch.nn.Sequential(torch.nn.Conv2d(128, 128, 3, groups=groups), torch.nn.ReLU())

    plain, grouped = (traced(network(groups), (4, 128, 16, 16)) for groups in (1, 8))
    assert runs_channels_last(plain)
    assert not runs_channels_last(grouped)
    assert next(kind.channels_last for kind in kernels(compiled(plain)))
    assert not runs_channels_last(traced(lambda: torch.nn.Linear(8, 8), (4, 8)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch, at the import of its compiler
@pytest.mark.parametrize("model", SHAPES)
def test_as_much_is_moved_as_inductors_own_scheduler_says(model):
    """It counts for a CPU, where a convolution's operands are also brought into oneDNN's layout."""
    theirs = inductor_bytes(model().eval(), torch.randn(*SHAPES[model]))
    ours = moved(kernels(compiled(traced(model, SHAPES[model]))))
    assert ours == pytest.approx(theirs, rel=0.1)


def inductor_bytes(model, x):
    """Bytes that TorchInductor counts for the kernels that it would generate; nothing is compiled."""
    from torch._inductor.compile_fx import compile_fx, fake_tensor_prop, record_original_output_strides
    from torch._inductor.debug import DebugContext
    from torch._inductor.graph import GraphLowering
    from torch._inductor.virtualized import V

    counted = []

    def count(module, inputs, **options):
        record_original_output_strides(module)
        with V.set_fake_mode(fake_tensor_prop(module, inputs)):
            graph = GraphLowering(module, inputs)
            with V.set_graph_handler(graph), V.set_extern_kernel_nodes([]), V.set_debug_handler(DebugContext()):
                graph.run(*inputs)
                graph.init_wrapper_code()
                graph._update_scheduler()
                counted.append(graph.count_bytes()[0])
        return module.forward

    with torch.no_grad():
        torch.compile(model, backend=lambda module, inputs: compile_fx(module, inputs, inner_compile=count))(x)
    return sum(counted)
