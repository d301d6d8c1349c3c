"""Training steps in ONNX Runtime, in real workers."""

import json
import subprocess
import sys

import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.configured import Settings
from sslbench.bench.measure.failed import FailedMeasurementError
from sslbench.bench.measure.interleaved import measure_interleaved
from sslbench.bench.measure.manager import measure
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.resolve import resolve_recipe

BERT = {
    "model_type": "bert",
    "vocab_size": 500,
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 24,
}
RESNET = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
}


@pytest.fixture
def small(tmp_path):
    def make(name, config, **changes):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return resolve_recipe(name, {"model": str(tmp_path), **changes})

    return make


@pytest.mark.slow
def test_a_step_trains_beside_torch_and_says_what_it_takes(small):
    recipe = small("bert-mini-mlm", BERT, batch_size=2, seq_len=16)
    plan = [
        (number, Configuration(recipe=recipe, backend=backend, command=("profile",)))
        for number, backend in enumerate(("torch-cpu", "onnx-cpu"))
    ]
    settings = Settings(budget=Budget(steps=8, warmup=2, timeout=300.0), predict=False)
    records = dict(measure_interleaved(plan, settings, lambda *_: None, lambda _: None))
    torch, onnx = records[0], records[1]
    assert torch.turns.backends == onnx.turns.backends == ["torch-cpu", "onnx-cpu"]
    assert len(onnx.time.samples_seconds) == 8
    assert 0 <= onnx.output_error < 1e-4
    assert onnx.model_bytes > 0
    assert onnx.onnx["graph"] == "all"
    assert "one graph" in onnx.unknown["phases"]
    # Weights and both of Adam's moments, all of them twice; torch's step keeps them once, with the gradients.
    state = 3 * 4 * (500 * 64 + 64 * 64 * 12)
    assert 2 * state < onnx.memory.peak_allocated_bytes < 2 * torch.memory.peak_allocated_bytes
    assert onnx.memory.fixed_overhead_bytes < torch.memory.fixed_overhead_bytes
    assert onnx.memory.peak_reserved_bytes > 0


@pytest.mark.slow
def test_contrastive_training_runs_too(small):
    recipe = small("simclr-resnet18", RESNET, batch_size=4, image_size=32)
    record = measure(recipe, backend="onnx-cpu", budget=Budget(steps=3, warmup=2), command=[], predict=False)
    assert len(record.time.samples_seconds) == 3


@pytest.mark.slow
def test_what_cannot_be_exported_is_recorded_with_its_reason(small):
    recipe = small("moco-v2-resnet18", RESNET, batch_size=4, image_size=32, options={"queue_size": 16})
    with pytest.raises(FailedMeasurementError, match="oldest") as caught:
        measure(recipe, backend="onnx-cpu", budget=Budget(steps=3, warmup=2), command=[], predict=False)
    assert (caught.value.record.failure.kind, caught.value.record.failure.phase) == ("raised", "export")


@pytest.mark.parametrize(
    ("changes", "onnx", "message"),
    [
        ({}, {"opset": 20}, "--onnx opset: a training step is exported in torch's own choice"),
        ({"precision": "fp16"}, {}, "--precision fp16: onnx-cpu trains in fp32 only"),
        ({"compile": True}, {}, "--compile: onnx-cpu has a compiler of its own"),
    ],
)
def test_what_no_training_step_has_is_refused(small, changes, onnx, message):
    recipe = small("bert-mini-mlm", BERT, batch_size=2, seq_len=16, **changes)
    with pytest.raises(MeasureError, match=message) as caught:
        measure(recipe, backend="onnx-cpu", onnx=onnx, command=[], predict=False)
    assert not isinstance(caught.value, FailedMeasurementError)


def test_the_worker_that_trains_imports_no_torch():
    code = "import sys, sslbench.bench.measure.onnx_train_backend; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
