"""What no trace can do is said in one line: the user's own line, and how to write it instead."""

import ctypes
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import flop_registry

from sslbench.bench.errors import RecipeError, TraceError
from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.recipes import trace_recipe
from sslbench.bench.trace.tracer import trace_step

BOTH = ("cuda", "cpu")


@torch.library.custom_op("sslbench_tests::no_fake", mutates_args=())
def no_fake(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@torch.library.custom_op("sslbench_tests::with_fake", mutates_args=())
def with_fake(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x.numpy() * 2)


with_fake.register_fake(torch.empty_like)


class Wrapped(torch.Tensor):
    pass


def lazy(device):
    return nn.LazyLinear(4).to(device)(torch.ones(2, 3, device=device))


def distributed(device):
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, init_method="tcp://127.0.0.1:1")


def packed(device):
    lengths = torch.tensor([3, 2])
    nn.utils.rnn.pack_padded_sequence(torch.ones(2, 3, 4, device=device), lengths, batch_first=True)


def waits(device):
    x = torch.zeros(4, device=device)
    while x.sum().item() < 3:
        x.add_(1)


REFUSED = [
    (lambda device: no_fake(torch.ones(2, device=device)), BOTH, "sslbench_tests::no_fake.*register_fake"),
    (lambda device: importlib.import_module("triton"), BOTH, "triton, the package of a kernel,.*register_fake"),
    (lambda device: importlib.import_module("flash_attn"), BOTH, "scaled_dot_product_attention"),
    (lambda device: ctypes.memset(torch.ones(2, device=device).data_ptr(), 0, 8), BOTH, "no memory.*register_fake"),
    (lambda device: int(torch.ones(2, device=device).data_ptr()), BOTH, "no memory to read"),
    (lambda device: nn.Embedding(9, 2, sparse=True).to(device)(torch.tensor(3).to(device)).sum().backward(), BOTH,
     "write sparse=False"),
    (lambda device: torch.eye(3).to(device).to_sparse(), BOTH, "sparse tensors are not traced"),
    (lambda device: torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged, device=device) + 1, BOTH,
     "nested tensors are not traced: pad"),
    (lazy, BOTH, "give the layer its input size"),
    (lambda device: torch.ones(2, device=device).as_subclass(Wrapped), BOTH, "use plain tensors"),
    (distributed, BOTH, "a trace is of one process"),
    (lambda device: nn.parallel.DistributedDataParallel(nn.Linear(2, 2).to(device)), BOTH, "of one process"),
    (lambda device: torch.multiprocessing.spawn(print), BOTH, "a trace is of one process"),
    (lambda device: torch.export.export(nn.Linear(2, 2).to(device), ()), BOTH, "call the model itself"),
    (packed, BOTH, "give the layer the padded batch"),
    (waits, ("cpu",), "a loop waits for the value of a tensor"),
    (lambda device: {0: "cat"}[torch.ones(2, device=device).argmax().item()], BOTH, "KeyError: 1 .*a trace has none"),
    (lambda device: torch.ones(2, device="mps"), BOTH, "the device that the factory is given"),
    (lambda device: torch.ones(2, device=device).to("mps"), BOTH, "the device that the factory is given"),
    (lambda device: torch.cuda.CUDAGraph(), ("cuda",), "CUDA graphs are not traced"),
    (lambda device: torch.ones(2, device="cuda:1"), ("cuda",), "a trace is of one GPU"),
    (lambda device: torch.ones(2).to(1), ("cuda",), "a trace is of one GPU"),
    (lambda device: torch.ones(2, device=device).numpy(), ("cuda",), "use Tensor.cpu"),
    (lambda device: np.asarray(torch.ones(2, device=device)), ("cuda",), "use Tensor.cpu"),
    (lambda device: nn.Linear(2, 2)(torch.ones(1, 2, device=device)), ("cuda",), "same device.* cuda:0 and cpu"),
    (lambda device: torch.zeros(1 << 20, device="cpu") + torch.ones(1 << 20, device=device), ("cuda",), "same device"),
    (lambda device: torch.cuda.FloatTensor(2), ("cuda",), r"write torch.tensor\(..., device=device\)"),
    (lambda device: torch.ones(2).cuda(), ("cpu",), "the step asks for a GPU, and the target is a CPU"),
    (lambda device: torch.ones(2, device="cuda"), ("cpu",), "the step asks for a GPU"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "target", "words"), [(action, target, words) for action, targets, words in REFUSED for target in targets]
)
def test_it_is_refused_with_the_line_and_the_way_out(action, target, words):
    code = action.__code__
    with pytest.raises(TraceError, match=words) as raised:
        trace_step(lambda device: lambda: action(device), target)
    file, line, text = re.fullmatch(r"(.*\.py):(\d+): (.*)", str(raised.value)).groups()
    assert file == __file__
    assert code.co_firstlineno <= int(line) <= max(number for _, _, number in code.co_lines() if number)
    assert len(text) < 500
    assert "\n" not in text


def test_a_kernel_is_traced_through_its_registered_fake():
    trace = trace_step(lambda device: lambda: with_fake(torch.ones(1000, device=device)), "cuda")
    made = [storage.size for storage in trace.storages if storage.operator == "sslbench_tests.with_fake.default"]
    assert made == [4000, 4000]  # of two steps


def test_the_kernel_of_the_docs_traces(tmp_path):
    page = Path(__file__).parents[3] / "docs" / "recipes.md"
    (code,) = re.findall(r"```python\n(# my_kernel\.py\n.*?)```", page.read_text("utf-8"), re.DOTALL)
    (tmp_path / "my_kernel.py").write_text(code, encoding="utf-8")
    recipe = Recipe(name="mine", objective="custom", factory=f"{tmp_path / 'my_kernel.py'}:build", batch_size=4)
    trace = trace_recipe(recipe, "cuda", (8, 0))
    made = [storage.size for storage in trace.storages if storage.operator == "mine.scale.default"]
    assert made == [4 * 4 * 1024] * 4  # forward and backward, of two steps


FACTORY = """
import torch

def build(device, batch_size=2):
    {build}
    def step():
        {step}
    return step
"""


@pytest.mark.parametrize(
    ("build", "step", "words"),
    [
        ("torch.load('missing.pt')", "pass", r"5: FileNotFoundError"),
        ("pass", "torch.ones(2, device='cuda:3')", r"7: cuda:3 is asked for: a trace is of one GPU"),
        ("pass", "torch.ones(2, device=device).to_sparse()", r"7: sparse tensors are not traced"),
        ("pass", "[0][torch.ones(2, device=device).sum().int().item()]", r"7: IndexError: .*a trace has none"),
        ("pass", "raise OSError('is not a local folder ' * 99)", r"7: a download failed, and a trace needs no weights"),
        ("raise RuntimeError('x ' * 999)", "pass", r"5: RuntimeError: (x )+\.\.\."),
    ],
)
def test_a_factory_is_explained_by_the_line_of_its_file(tmp_path, build, step, words):
    path = tmp_path / "my_step.py"
    path.write_text(FACTORY.format(build=build, step=step), encoding="utf-8")
    recipe = Recipe(name="mine", objective="custom", factory=f"{path}:build")
    with pytest.raises((TraceError, RecipeError), match=rf"^{re.escape(str(path))}:{words}"):
        trace_recipe(recipe, "cuda", (8, 0))


def test_torch_is_left_as_it_was_after_a_refusal():
    owners = [torch, torch.cuda, torch.accelerator, torch.export, torch.multiprocessing, torch.cuda.CUDAGraph]
    owners += [nn.parallel.DistributedDataParallel, nn.parallel.DataParallel, torch.utils.data.DataLoader]
    before = [dict(vars(owner)) for owner in owners]
    rules = dict(flop_registry)
    for target in BOTH:
        with pytest.raises(TraceError):
            trace_step(lazy, target)
    assert [{name: vars(owner)[name] for name in names} for owner, names in zip(owners, before, strict=True)] == before
    assert flop_registry == rules
