"""The prediction beside a measurement: made by a real process, right where it can be, and never in the way."""

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sslbench.bench.build import build_step
from sslbench.bench.measure.predicted import compared, with_prediction, without_prediction
from sslbench.bench.measured import Failure
from sslbench.bench.predict.capacity import capacity_bytes, limited
from sslbench.bench.predict.peak import main_dtype
from sslbench.bench.predict.prediction import work_of
from sslbench.bench.quantities import Memory, Time
from sslbench.bench.record import Record
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import FOLDER_VARIABLE
from sslbench.bench.trace.recipes import trace_recipe
from sslbench.hardware_profiles.loader import load_machine

MIB = 2**20
WORK = ("flops", "bytes_read", "bytes_written", "operators", "parameters")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "traces"))


def test_a_measurement_carries_its_prediction_and_what_it_computes(run_step):
    told = []
    record = run_step(predict=True, progress=lambda phase, *_: told.append(phase))
    said, memory = record.predicted, record.memory
    assert told[-1] == "prediction"
    assert said.verdict == "fits"
    assert said.memory.peak_allocated_bytes == pytest.approx(memory.peak_allocated_bytes, rel=0.02)
    assert said.memory_error == pytest.approx(said.memory.required_bytes / memory.required_bytes - 1)
    assert said.allocated_error == pytest.approx(said.memory.peak_allocated_bytes / memory.peak_allocated_bytes - 1)
    assert said.time_error == pytest.approx(said.time.step_seconds / record.time.step_seconds - 1)
    assert record.work.parameters == 64 * 64 + 64
    assert record.work.flops == 2 * 2 * 8 * 64 * 64  # forward and the weight's gradient; the input needs none
    use, peak = record.utilization, record.machine.device.peak_flops_per_second["fp32"]
    assert use.flops_per_second == pytest.approx(record.work.flops / record.time.step_seconds)
    assert (use.peak_flops_per_second, use.peak_basis) == (peak.value, "measured")
    assert use.model_flops_utilization == pytest.approx(use.flops_per_second / peak.value)
    assert not {path for path in record.unknown if path.startswith(("work", "predicted", "utilization"))}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("import sslbench.bench.trace.tracer; raise ValueError('not with fake tensors')", "not with fake tensors"),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", marks=pytest.mark.slow),
        pytest.param("os._exit(7)", "status 7", marks=pytest.mark.slow),
    ],
)
def test_a_step_that_cannot_be_predicted_costs_the_measurement_nothing(run_step, lines, reason):
    # only the process that predicts has this module
    record = run_step(f"if 'sslbench.bench.trace.tracer' in sys.modules:\n    {lines}", predict=True)
    assert record.failure is None
    assert len(record.time.samples_seconds) == 6
    assert (record.predicted, record.utilization, record.work.flops) == (None, None, None)
    assert record.unknown["predicted"].startswith("the step could not be predicted: ")
    assert reason in record.unknown["predicted"]
    assert {"utilization", *(f"work.{name}" for name in WORK)} <= set(record.unknown)


@pytest.fixture
def measured():
    """A measurement of a small recipe on a machine, as if it had been made."""

    def make(backend="torch-cpu", machine="laptop-16gb", **changes):
        recipe = resolve_recipe("bert-mini-mlm", {"batch_size": 2, "seq_len": 16, **changes})
        return Record(
            kind="measurement",
            created="2026-11-21T12:00:00Z",
            backend=backend,
            recipe=recipe,
            machine=load_machine(machine),
            environment={
                "sslbench": "0",
                "python": "3",
                "platform": "",
                "processor": "",
                "logical_cores": 1,
                "memory_bytes": 1,
                "packages": {},
            },
            command=[],
            memory=Memory(required_bytes=600 * MIB, peak_allocated_bytes=200 * MIB),
            time=Time(step_seconds=0.5),
        )

    return make


@pytest.mark.parametrize(
    ("backend", "machine", "changes", "reason"),
    [
        ("onnx-cuda", "h200", {"stage": "infer"}, "onnx-cuda is not predicted"),
        ("onnx-cpu", "laptop-16gb", {}, "training in ONNX Runtime is not predicted"),
        ("torch-cuda", "laptop-16gb", {}, "the device has no profile"),
    ],
)
def test_what_is_not_predicted_says_so_at_once(measured, backend, machine, changes, reason):
    record = with_prediction(measured(backend, machine, **changes))
    assert record.predicted is None
    assert record.unknown["predicted"].startswith(reason)


def test_a_card_is_predicted_with_its_own_peak(measured):
    record = with_prediction(measured("torch-cuda", "h200", precision="bf16"))
    assert record.predicted.memory.peak_reserved_bytes >= record.predicted.memory.peak_allocated_bytes
    peak = record.machine.device.peak_flops_per_second["bf16"]
    assert (record.utilization.peak_flops_per_second, record.utilization.peak_basis) == (peak.value, peak.basis)


def test_several_devices_share_their_arithmetic_and_are_not_predicted(measured):
    one = measured()
    two = one.model_copy(update={"machine": one.machine.model_copy(update={"device_count": 2})})
    record = with_prediction(two, devices=2)
    assert record.predicted is None
    assert "several devices" in record.unknown["predicted"]
    peak = record.machine.device.peak_flops_per_second["fp32"].value
    assert record.utilization.flops_per_second == pytest.approx(2 * record.work.flops / 0.5)
    assert record.utilization.peak_flops_per_second == 2 * peak


def test_a_step_that_ran_out_of_memory_has_a_verdict_within_its_limit(measured):
    failure = Failure(kind="out-of-memory", phase="warm-up", steps_done=0, message="out of memory")
    failed = measured().model_copy(update={"failure": failure, "memory": Memory(), "time": Time()})
    record = with_prediction(failed, memory_limit_bytes=300 * MIB)
    assert record.predicted.verdict == "does-not-fit"
    assert record.predicted.memory.capacity_bytes == pytest.approx(300 * MIB, abs=1)
    assert record.predicted.memory_error is record.predicted.time_error is record.utilization is None
    assert record.unknown["utilization"] == "the step did not run"


@pytest.mark.parametrize("name", ["laptop-16gb", "rtx-4090", "m3-max"])
def test_a_limit_is_what_a_step_can_have_and_never_more_than_there_is(name):
    machine = load_machine(name)
    assert capacity_bytes(limited(machine, 3 * 2**30)) == pytest.approx(3 * 2**30, abs=1)
    assert limited(machine, 2**50) is machine


def test_errors_are_null_where_nothing_was_measured(measured):
    bare = measured().model_copy(update={"memory": Memory(), "time": Time()})
    said = compared(bare, measured())
    assert (said.memory_error, said.allocated_error, said.time_error) == (None, None, None)
    assert without_prediction(bare, "not asked for").unknown["work.flops"] == "not asked for"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("bert-mini-mlm", {"batch_size": 2, "seq_len": 16}),
        pytest.param("simclr-resnet18", {"batch_size": 2, "image_size": 32}, marks=pytest.mark.slow),
        pytest.param("mae-vit-ti-16", {"batch_size": 2, "image_size": 32}, marks=pytest.mark.slow),
    ],
)
def test_flop_of_a_trace_are_those_that_torch_counts_while_the_step_runs(name, changes):
    recipe = resolve_recipe(name, changes)
    traced = work_of(trace_recipe(recipe, "cpu", (0, 0))).flops
    step = build_step(recipe, torch.device("cpu"))
    step()
    with FlopCounterMode(display=False) as counter:
        step()
    assert traced == counter.get_total_flops()


@pytest.mark.parametrize(("precision", "machine", "dtype"), [("tf32", "h200", "tf32"), ("bf16", "h200", "bf16")])
def test_most_flop_decide_the_peak(precision, machine, dtype):
    recipe = resolve_recipe("bert-mini-mlm", {"batch_size": 2, "seq_len": 16, "precision": precision})
    trace = trace_recipe(recipe, "cuda", (9, 0))
    assert main_dtype(trace, load_machine(machine).device) == dtype
    bare = load_machine("laptop-16gb").device
    only_fp32 = bare.model_copy(update={"peak_flops_per_second": {"fp32": bare.peak_flops_per_second["fp32"]}})
    assert main_dtype(trace, only_fp32) == "fp32"


def test_the_parent_imports_no_torch():
    code = "import sys, sslbench.bench.measure.predicted; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
