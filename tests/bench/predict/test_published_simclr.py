"""Predicted memory of SimCLR against published peaks of torch.cuda.max_memory_allocated.

Source: https://github.com/lightly-ai/lightly, docs/source/getting_started/benchmarks.rst at e8d317f
(ResNet-18, batch 256, fp32), in GiB with one decimal. The 224 px row also holds a feature bank for evaluation: 0.24.
"""

import pytest

from sslbench.bench.fit import target_of
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.memory import CUDNN_WORKSPACE_BYTES, predict_memory, workspace_bytes
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe

GIB = 2**30


@pytest.mark.parametrize(("image_size", "card", "published_gib"), [(224, "rtx-a6000", 11.3), (128, "v100-32gb", 3.9)])
def test_peak_allocated_within_three_percent(image_size, card, published_gib):
    changes = {"batch_size": 256, "image_size": image_size, "optimizer": "sgd"}
    machine = find_machine(card)
    trace = trace_recipe(resolve_recipe("simclr-resnet18", changes), *target_of(machine.device))
    peak = predict_memory(trace, machine).memory.peak_allocated_bytes
    assert peak / GIB == pytest.approx(published_gib, rel=0.03)


def workspace(name, target, **changes):
    return workspace_bytes(trace_recipe(resolve_recipe(name, changes), target, (8, 0)))


def test_the_workspace_grows_with_the_convolution_up_to_its_bound():
    small = workspace("simclr-resnet18", "cuda", batch_size=2, image_size=32)
    assert 0 < small < CUDNN_WORKSPACE_BYTES
    assert workspace("simclr-resnet18", "cuda", batch_size=256, image_size=128) == CUDNN_WORKSPACE_BYTES


def test_no_convolution_or_no_gpu_no_workspace():
    assert workspace("bert-mini-mlm", "cuda") == 0
    assert workspace("simclr-resnet18", "cpu") == 0
