"""What a trace leaves unimported, in processes of their own: here others have imported it already."""

import subprocess
import sys

import pytest


def run(code):
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout.split()


TRACED = """
import sys
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe
for name, sizes in (("bert-mini-mlm", {"seq_len": 16}), ("simclr-resnet18", {"image_size": 32})):
    trace_recipe(resolve_recipe(name, {"batch_size": 2, **sizes}), "cuda", (8, 0))
print(*(m for m in ("torch._dynamo", "torch._inductor", "torch.distributed.tensor") if m in sys.modules))
"""
AFTER = """
import torch, torch._dynamo, torch.distributed.tensor
from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex, trace_wrapped
from torch.fx.experimental.symbolic_shapes import ShapeEnv
assert torch.distributed.is_available()
assert torch.compiler.disable.__module__ == "torch.compiler"
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
"""


@pytest.mark.slow
def test_a_trace_needs_no_compiler_and_no_distributed_tensors_and_leaves_them_usable():
    assert run(TRACED + AFTER) == ["2.0"]


def test_a_stand_in_gives_way_to_the_real_module_when_asked_for_more():
    code = """
from sslbench.bench.trace.imports import eager_only
with eager_only():
    import torch._dynamo
    from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
    from torch.fx.experimental.symbolic_shapes import sym_eq, ShapeEnv
    print(sym_eq((2, 3), [2, 3]), sym_eq(2, 3), type(TransformGetItemToIndex()).__module__)
    print(torch._dynamo.config.__name__)
"""
    expected = ["True", "False", "torch._dynamo._trace_wrapped_higher_order_op", "torch._dynamo.config"]
    assert run(code) == expected
