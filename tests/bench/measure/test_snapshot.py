"""The CUDA allocator's history: what it takes, and on a card what is in it."""

import pickle

import pytest
import torch

from sslbench.bench.errors import MeasureError, OutputError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.resolve import resolve_recipe

MLM = resolve_recipe("bert-mini-mlm", {"batch_size": 2, "seq_len": 16, "stage": "infer"})


@pytest.mark.parametrize("backend", ["torch-cpu", "onnx-cpu"])
def test_only_cuda_has_a_history(backend, tmp_path):
    with pytest.raises(MeasureError, match=rf"^--memory-snapshot: {backend} has no .*: use torch-cuda$"):
        measure(MLM, backend=backend, snapshot=tmp_path / "snapshot.pickle", command=[])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_said_before_a_worker_starts(tmp_path):
    with pytest.raises(OutputError, match=r"missing is no folder that you may write to"):
        measure(MLM, backend="torch-cuda", snapshot=tmp_path / "missing" / "snapshot.pickle", command=[])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU, or a PyTorch without CUDA")
def test_a_snapshot_of_one_step(tmp_path):
    path = tmp_path / "snapshot.pickle"
    record = measure(MLM, backend="torch-cuda", budget=Budget(steps=3), snapshot=path, command=[])
    assert record.snapshot == str(path)
    assert list(tmp_path.iterdir()) == [path]
    held = pickle.loads(path.read_bytes())  # noqa: S301 - torch wrote it just now
    sizes = [block["size"] for segment in held["segments"] for block in segment["blocks"] if "active" in block["state"]]
    assert 0 < sum(sizes) <= record.memory.peak_allocated_bytes
    entries = [entry for entry in held["device_traces"][0] if entry["action"] == "alloc"]
    assert any("/torch/" in frame["filename"] for entry in entries for frame in entry["frames"])
