"""On an NVIDIA card where there is one; what is said where there is none."""

import pytest
import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.devices import check_cuda
from sslbench.bench.measure.manager import measure
from sslbench.bench.resolve import resolve_recipe


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU, or a PyTorch without CUDA")
def test_a_step_on_the_card():
    recipe = resolve_recipe("bert-mini-mlm", {"batch_size": 4, "seq_len": 64})
    record = measure(recipe, backend="torch-cuda", budget=Budget(steps=10), command=[])
    assert len(record.time.samples_seconds) == 10
    assert all(sample > 0 for sample in record.time.samples_seconds)
    memory = record.memory
    assert 0 < memory.peak_allocated_bytes <= memory.peak_reserved_bytes
    assert memory.peak_reserved_bytes < memory.required_bytes < memory.capacity_bytes
    assert memory.fixed_overhead_bytes == memory.required_bytes - memory.peak_reserved_bytes


@pytest.mark.skipif(torch.version.cuda is not None, reason="this PyTorch has CUDA")
def test_a_pytorch_without_cuda_says_how_to_get_it():
    with pytest.raises(MeasureError, match=r"has no CUDA: install a CUDA build.* or use --backend torch-cpu"):
        check_cuda()
