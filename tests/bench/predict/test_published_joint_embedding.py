"""Predicted memory of the joint-embedding objectives against published peaks of torch.cuda.max_memory_allocated.

Source: https://github.com/lightly-ai/lightly, docs/source/getting_started/benchmarks.rst at e8d317f (ImageNet-100,
ResNet-18, 224 px, batch 256, fp32, RTX A6000), in GiB with one decimal; the heads are those of its script
imagenet100_benchmark.py. Every row holds a feature bank for evaluation besides: 130,000 x 512 floats, 0.24 GiB.
"""

import pytest

from sslbench.bench.fit import target_of
from sslbench.bench.machines import find_machine
from sslbench.bench.predict.memory import predict_memory
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe

GIB = 2**30
FEATURE_BANK_BYTES = 130_000 * 512 * 4

ROWS = [
    ("barlow-twins-resnet18", {"hidden_dim": 2048, "projection_dim": 2048}, 11.3),
    ("byol-resnet18", {"hidden_dim": 4096}, 12.9),
    ("moco-v2-resnet18", {"queue_size": 65_536, "hidden_dim": 2048, "symmetric": True}, 13.1),
    ("simsiam-resnet18", {}, 11.1),
    ("swav-resnet18", {"prototypes": 3000, "queue_size": 3840, "local_size": 96}, 16.9),
]


@pytest.mark.parametrize(("name", "options", "published_gib"), ROWS)
def test_peak_allocated_within_three_percent(name, options, published_gib):
    changes = {"batch_size": 256, "image_size": 224, "optimizer": "sgd", "options": options}
    machine = find_machine("rtx-a6000")
    trace = trace_recipe(resolve_recipe(name, changes), *target_of(machine.device))
    peak = predict_memory(trace, machine).memory.peak_allocated_bytes + FEATURE_BANK_BYTES
    assert peak / GIB == pytest.approx(published_gib, rel=0.03)
