"""`fit --backend onnx-cpu`: what it predicts, against what ONNX Runtime takes here, and what it refuses."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.errors import RecipeError, TraceError
from sslbench.bench.fit_onnx import fit_onnx
from sslbench.bench.machines import find_machine
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.onnx import inference_export
from sslbench.bench.onnx.cache import ModelCache
from sslbench.bench.predict.onnx_memory import predict_onnx_memory, predict_onnx_time
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace import onnx_graph
from sslbench.bench.trace.onnx_plan import plan
from sslbench.bench.trace.onnx_trace import trace_of

MIB = 2**20
LAPTOP = find_machine("laptop-16gb")
with (Path(__file__).parents[1] / "data" / "onnx_cpu_memory.csv").open(encoding="utf-8", newline="") as _file:
    MEASURED = list(csv.DictReader(_file))
RECIPE = resolve_recipe("bert-mini-mlm", {"stage": "infer", "batch_size": 4, "seq_len": 64})


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Models are kept for the tests of this file."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSLBENCH_CACHE_DIR", str(folder))
        yield ModelCache(folder / "onnx")


@pytest.fixture(scope="module")
def record():
    (record,) = fit_onnx(RECIPE, [LAPTOP], command=["fit"], explained=True)
    return record


@pytest.fixture(scope="module")
def graph(cache):
    return onnx_graph.recipe_graph(resolve_recipe("simclr-resnet18", {"stage": "infer"}), cache)


@pytest.mark.slow
def test_memory_is_within_a_tenth_of_what_is_measured_here(record):
    measured = measure(RECIPE, backend="onnx-cpu", budget=Budget(steps=1, warmup=2), command=[]).memory
    assert record.memory.required_bytes == pytest.approx(measured.required_bytes, rel=0.1)
    # A process that has to compile its modules first holds some 12 MiB more.
    assert record.memory.fixed_overhead_bytes == pytest.approx(measured.fixed_overhead_bytes, abs=16 * MIB)


def required(graph):
    buffers = plan(graph)
    return predict_onnx_memory(graph, buffers, trace_of(graph, buffers, None), LAPTOP).memory


@pytest.mark.skipif("AVX512" not in torch.backends.cpu.get_cpu_capability(), reason="the rows are from AVX-512")
@pytest.mark.parametrize("name", ["simclr-resnet18", pytest.param("hubert-tiny", marks=pytest.mark.slow)])
def test_memory_is_within_a_tenth_of_what_was_measured(graph, cache, name):
    row = next(row for row in MEASURED if row["recipe"] == name)
    recipe = resolve_recipe(name, {"stage": "infer"})
    found = graph if name == "simclr-resnet18" else onnx_graph.recipe_graph(recipe, cache)
    memory = required(found)
    assert memory.required_bytes == pytest.approx(int(row["required_bytes"]), rel=0.1)
    assert memory.interval_bytes[0] <= int(row["required_bytes"]) <= memory.interval_bytes[1]


def test_a_record_is_whole(record):
    memory = record.memory
    assert record.backend == "onnx-cpu"
    assert record.verdict == "fits"
    assert memory.interval_bytes[0] < memory.required_bytes < memory.interval_bytes[1]
    assert memory.peak_reserved_bytes is None
    assert "memory.peak_reserved_bytes" in record.unknown
    assert memory.peak_allocated_bytes == sum(memory.breakdown.values())
    logits = 4 * 64 * 30522 * 4
    hidden = 4 * 64 * 256 * 4
    assert memory.breakdown["activation"] == hidden + 2 * logits  # the last Reshape copies into the output
    assert record.time.interval_seconds[0] < record.time.step_seconds < record.time.interval_seconds[1]
    assert record.work.parameters > 11e6
    assert set(record.unknown) >= {"max_batch_size", "energy.joules_per_step"}


def test_the_explanation_sums_up_and_names_its_own_constants(record):
    explained = record.explain
    assert sum(row.bytes for row in explained.alive_at_peak) == record.memory.peak_allocated_bytes
    assert explained.device_seconds + explained.launch_seconds == pytest.approx(record.time.step_seconds)
    names = {constant.name for constant in explained.constants}
    assert {"ONNX_PROCESS_BYTES", "HOST_USABLE", "machine.memory_bytes"} <= names
    assert not {"CPU_BASELINE_BYTES", "CPU_FRESH_BYTES"} & names
    assert all(constant.source for constant in explained.constants)


def test_convolutions_are_laid_out_in_blocks_by_the_runtime_itself(graph):
    operators = {node.operator for node in graph.nodes}
    assert "com.microsoft.nchwc.Conv" in operators or "Conv" in operators  # the first where the processor has AVX
    assert all(name in graph.values for node in graph.nodes for name in (*node.inputs, *node.outputs) if name)
    assert graph.values[graph.outputs[0]].shape[0] == 16


@pytest.mark.parametrize(("memory", "verdict"), [("16GiB", "fits"), ("0.12GiB", "does-not-fit")])
def test_the_verdict_follows_the_memory(graph, memory, verdict):
    machine = find_machine("laptop-16gb", memory_bytes=int(float(memory.removesuffix("GiB")) * 2**30))
    buffers = plan(graph)
    predicted = predict_onnx_memory(graph, buffers, trace_of(graph, buffers, 4), machine)
    assert predicted.verdict == verdict
    assert (predicted.probability_fits > 0.5) == (verdict == "fits")


def test_a_machine_with_twice_the_rates_is_faster(graph):
    device = LAPTOP.device
    rates = {
        name: peak.model_copy(update={"value": 2 * peak.value}) for name, peak in device.peak_flops_per_second.items()
    }
    faster = LAPTOP.model_copy(update={"device": device.model_copy(update={"peak_flops_per_second": rates})})
    trace = trace_of(graph, plan(graph), 4)
    assert predict_onnx_time(trace, faster).step_seconds < predict_onnx_time(trace, LAPTOP).step_seconds


def run(*arguments):
    return CliRunner().invoke(cli, ["fit", "bert-mini-mlm", "--backend", "onnx-cpu", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--machine", "laptop-16gb"],
            "recipe bert-mini-mlm: --backend onnx-cpu predicts inference only: add --stage infer",
        ),
        (
            ["--stage", "infer", "--machine", "laptop-16gb", "--precision", "int8"],
            "recipe bert-mini-mlm: --backend onnx-cpu predicts fp32 only, not int8: add --precision fp32",
        ),
        (
            ["--stage", "infer", "--machine", "t4"],
            "machine t4: .* computes on a GPU .*: name a machine such as laptop-16gb",
        ),
    ],
)
def test_what_has_no_prediction_is_refused_in_one_line(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)


def test_the_command_prints_a_record_and_nothing_else():
    sizes = ("--batch-size", "2", "--seq-len", "8")
    result = run("--stage", "infer", *sizes, "--machine", "laptop-16gb", "--format", "json")
    assert result.exit_code == 0
    table = json.loads(result.stdout)
    assert table["backend"] == "onnx-cpu"
    assert "--backend" in table["command"]
    assert table["warnings"] == []


def test_a_factory_has_no_model_to_export(tmp_path):
    (tmp_path / "own.py").write_text("def build(device, batch_size=2):\n    return lambda: None\n")
    recipe = resolve_recipe(f"{tmp_path}/own.py:build", {"stage": "infer"})
    with pytest.raises(RecipeError, match="no model that could be exported: leave --backend onnx-cpu away"):
        fit_onnx(recipe, [LAPTOP], command=[])


def test_an_operator_that_does_not_export_is_named(monkeypatch):
    class Sorted(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.eigvalsh(x)

    monkeypatch.setattr(inference_export, "inference_module", lambda *_: (Sorted().eval(), (torch.eye(4),)))
    with pytest.raises(TraceError, match=r"recipe bert-mini-mlm: .*cannot be exported to ONNX: .*eigh"):
        onnx_graph.recipe_graph(RECIPE, ModelCache(None))


def test_weights_that_this_host_cannot_hold_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(onnx_graph, "COPIES_OF_WEIGHTS", 10**6)
    with pytest.raises(TraceError, match=r"bert-mini-mlm: exporting to ONNX needs .* GiB here for weights of 0.0 GiB"):
        onnx_graph.recipe_graph(RECIPE, ModelCache(None))
