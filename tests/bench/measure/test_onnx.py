"""Inference in ONNX Runtime, measured by real workers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.errors import MeasureError, WorkerError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.onnx.exported import MODEL_FILE
from sslbench.bench.resolve import resolve_recipe

RECIPE = resolve_recipe("bert-mini-mlm", {"stage": "infer", "batch_size": 2, "seq_len": 16})
BRIEF = Budget(steps=5, warmup=3)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(autouse=True)
def _models_are_kept_apart(kept, monkeypatch):
    monkeypatch.setenv("SSLBENCH_CACHE_DIR", str(kept))


def run(recipe=RECIPE, **options):
    return measure(recipe, **{"backend": "onnx-cpu", "budget": BRIEF, "command": [], "predict": False, **options})


def test_a_catalog_recipe_is_exported_verified_and_timed():
    told = []
    record = run(progress=lambda *progress: told.append(progress))
    assert len(record.time.samples_seconds) == 5
    assert record.time.tokens_per_second == pytest.approx(2 * 16 / record.time.step_seconds)
    assert ("timed steps", 8, 8) in told
    assert record.backend == "onnx-cpu"
    assert record.environment.threads == 1
    weights = 4 * 10_000_000  # bert-mini has more parameters than that
    memory = record.memory
    assert memory.required_bytes - memory.fixed_overhead_bytes > weights
    assert record.model_bytes > weights
    assert memory.peak_allocated_bytes > weights + 4 * 2 * 16 * 30522  # and the logits
    assert memory.peak_reserved_bytes > 0
    assert 0 < record.output_error < 1e-4
    assert record.onnx["dynamic_batch"] is True
    assert (record.onnx["graph"], record.onnx["threads"], record.onnx["arena"]) == ("all", 1, True)


@pytest.mark.slow
def test_options_reach_the_session_and_the_record():
    record = run(onnx={"graph": "off", "arena": False, "threads": 2, "opset": 19})
    assert record.environment.threads == 2
    assert record.onnx.items() >= {"graph": "off", "arena": False, "threads": 2, "opset": 19}.items()
    assert "arena" in record.unknown["memory.peak_allocated_bytes"]


def test_eight_bits_are_smaller_and_further_off():
    plain, small = run(), run(RECIPE.with_options(precision="int8"))
    assert small.model_bytes < plain.model_bytes / 3
    assert plain.output_error < small.output_error < 0.1


@pytest.mark.slow
def test_half_precision_says_where_the_processor_has_none():
    record = run(RECIPE.with_options(precision="fp16"))
    assert record.model_bytes < 25_000_000
    assert 1e-5 < record.output_error < 0.01
    assert any(re.search(r"fp16: ONNX Runtime has no .*: \d+ casts", warning) for warning in record.warnings)


@pytest.mark.slow
def test_too_little_memory_for_a_second_session_costs_its_figures_alone():
    peak = run().memory.required_bytes
    record = run(memory_limit_bytes=int(1.2 * peak))
    assert record.memory.peak_allocated_bytes is None
    assert "too little memory is left" in record.unknown["memory.peak_allocated_bytes"]


@pytest.mark.slow
def test_a_kept_model_that_was_damaged_is_exported_again(kept):
    run()
    for model in kept.glob(f"onnx/*/{MODEL_FILE}"):
        model.write_bytes(b"no model")
    assert run().failure is None


def test_the_worker_that_times_imports_no_torch():
    code = (
        "import sys, sslbench.bench.measure.onnx_backend\n"
        "sys.exit(bool({'torch', 'pydantic', 'onnx', '_hashlib'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"precision": "bf16"}, {}, "--precision bf16: onnx-cpu computes in fp32, fp16 or int8"),
        ({"precision": "int8"}, {"backend": "torch-cpu"}, "--precision int8: only inference in ONNX Runtime"),
        ({"precision": "int8", "stage": "train"}, {}, "--precision int8: only inference in ONNX Runtime"),
        ({}, {"backend": "torch-cpu", "onnx": {"graph": "off"}}, "--onnx: torch-cpu is not ONNX Runtime"),
        ({}, {"onnx": {"graph": "fast"}}, "--onnx graph: expected all, extended, basic or off, got 'fast'"),
        ({}, {"backend": "onnx-openvino"}, "has no OpenVINOExecutionProvider .*pip install onnxruntime-openvino"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_a_worker_exports(changes, options, message):
    with pytest.raises(MeasureError, match=message):
        run(RECIPE.with_options(**changes), **options)


@pytest.mark.slow
def test_an_opset_that_does_not_exist_fails_with_one_line():
    with pytest.raises(WorkerError, match=r"--onnx opset: onnx .* has none newer than") as caught:
        run(onnx={"opset": 1000})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "onnx-cpu", "--onnx", "graph"], "--onnx: 'graph' is not KEY=VALUE"),
        (["--backend", "onnx-cpu", "--onnx", "grahp=all"], "--onnx grahp: there is no such option"),
        (["--backend", "torch-cpu", "--onnx", "graph=all"], "--onnx goes with a backend of ONNX Runtime"),
    ],
)
def test_the_command_names_a_wrong_option(arguments, message):
    result = CliRunner().invoke(cli, ["profile", "bert-mini-mlm", "--stage", "infer", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.slow
def test_the_commands_record_says_how_to_make_it_again(tmp_path):
    output = tmp_path / "record.json"
    asked = ["--stage", "infer", "--batch-size", "2", "--seq-len", "16", "--steps", "2", "--warmup", "2"]
    settings = ["--onnx", "graph=basic", "--onnx", "memory_pattern=false"]
    result = CliRunner().invoke(
        cli, ["profile", "bert-mini-mlm", "--backend", "onnx-cpu", *asked, *settings, "-o", str(output)]
    )
    assert result.exit_code == 0, result.output
    assert "outputs within" in result.stdout
    text = Path(output).read_text()
    assert '"graph": "basic"' in text
    assert '"memory_pattern": false' in text
    assert all(f'"{word}"' in text for word in settings)
