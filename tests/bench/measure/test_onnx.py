import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.measure.onnx_backend import check_provider, load_inputs, open_session, thread_count
from sslbench.bench.measure.onnx_export import check_outputs, export
from sslbench.bench.resolve import resolve_recipe

ONES = [np.ones((2, 3), dtype=np.float32)]


def test_a_catalog_recipe_is_exported_verified_and_timed():
    recipe = resolve_recipe("bert-mini-mlm", {"stage": "infer", "batch_size": 2, "seq_len": 16})
    told = []
    record = measure(
        recipe,
        backend="onnx-cpu",
        budget=Budget(steps=5, warmup=3),
        command=[],
        progress=lambda *progress: told.append(progress),
    )
    assert len(record.time.samples_seconds) == 5
    assert record.time.tokens_per_second == pytest.approx(2 * 16 / record.time.step_seconds)
    assert ("timed steps", 8, 8) in told
    assert record.backend == "onnx-cpu"
    assert record.environment.threads == 1
    weights = 4 * 10_000_000  # bert-mini has more parameters than that
    assert record.memory.required_bytes - record.memory.fixed_overhead_bytes > weights
    assert "arena" in record.unknown["memory.peak_allocated_bytes"]


def test_the_worker_that_times_imports_no_torch():
    code = "import sys, sslbench.bench.measure.onnx_backend; sys.exit(bool({'torch', 'pydantic'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # torch.onnx calls what torch deprecates
def test_inputs_meet_the_models_inputs_in_order(tmp_path):
    class Difference(torch.nn.Module):
        def forward(self, minuend, subtrahend):
            return (minuend - subtrahend,)

    inputs = (torch.full((2, 3), 5.0), torch.full((2, 3), 3.0))
    export(Difference().eval(), inputs, tmp_path)
    session = open_session(tmp_path, "onnx-cpu")
    (found,) = session.run(None, load_inputs(tmp_path, session))
    assert np.array_equal(found, np.full((2, 3), 2.0))


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_what_cannot_be_exported_says_why(tmp_path):
    class Branch(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(MeasureError, match=r"cannot be exported to ONNX: .*data-dependent") as caught:
        export(Branch().eval(), (torch.ones(2),), tmp_path)
    assert "\n" not in str(caught.value)


def test_bf16_has_no_place_in_numpy(tmp_path):
    with pytest.raises(MeasureError, match="use --precision fp32"):
        export(torch.nn.Identity().eval(), (torch.ones(2, dtype=torch.bfloat16),), tmp_path)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "has 0 outputs, torch gave 1"),
        ([np.ones((3, 2))], r"shape \(3, 2\) in ONNX Runtime, \(2, 3\) in torch"),
        ([np.full((2, 3), 1.1)], r"differs between ONNX Runtime and torch by 0.1, more than 0.01"),
        ([np.full((2, 3), np.nan)], "differs"),
    ],
)
def test_another_answer_is_refused(found, message):
    with pytest.raises(MeasureError, match=message):
        check_outputs(found, ONES, 0.01)


@given(st.floats(-1e6, 1e6), st.floats(-0.99, 0.99))
def test_the_tolerance_is_a_share_of_the_largest_value(scale, share):
    check_outputs([np.array([scale * (1 + 1e-3 * share), 0.0])], [np.array([scale, 0.0])], 1e-3)


@pytest.mark.parametrize(("asked", "threads"), [("3", 3), ("0", None), ("many", None)])
def test_threads_are_those_asked_for_or_the_cores(monkeypatch, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert thread_count() == threads if threads else thread_count() >= 1


def test_a_missing_provider_says_what_to_install():
    with pytest.raises(MeasureError, match="pip install onnxruntime-gpu"):
        check_provider("onnx-cuda")
