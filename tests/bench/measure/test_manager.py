import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.manager import measure
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record, dump_records, load_records


def null_fields(table, path=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from null_fields(value, f"{path}{key}.")
        elif value is None:
            yield f"{path}{key}"


def test_a_measurement_from_end_to_end(run_step, tmp_path):
    told = []
    record = run_step(
        "print('noise on the channel', flush=True); os.write(1, b'{\"event\": \"result\"}\\n'); sys.stdin.read()",
        command=["profile", "my_step.py:build"],
        progress=lambda _, done, total: told.append((done, total)),
    )
    samples = record.time.samples_seconds
    assert len(samples) == 6
    assert all(sample > 0 for sample in samples)
    assert record.time.step_seconds == pytest.approx((sorted(samples)[2] + sorted(samples)[3]) / 2)
    assert min(samples) / 1.01 <= record.time.interval_seconds[0] < record.time.step_seconds
    assert record.time.step_seconds < record.time.interval_seconds[1] <= max(samples) * 1.01
    assert 0 < record.time.mad_seconds < max(samples)
    assert record.time.warmup_steps == 3
    assert record.unknown["time.tokens_per_second"] == "the recipe has no seq_len"
    assert record.recipe.batch_size == 8  # the factory's own
    assert record.time.samples_per_second == pytest.approx(8 / record.time.step_seconds)
    assert told == sorted(told)
    assert told[-1] == (9, 9)

    memory = record.memory
    weights, inputs = 4 * (64 * 64 + 64), 4 * 8 * 64
    assert memory.peak_allocated_bytes > 2 * weights + inputs
    assert memory.fixed_overhead_bytes < memory.required_bytes < memory.capacity_bytes
    assert record.environment.threads == 1
    assert record.command == ["profile", "my_step.py:build"]
    assert record.machine.device.kind == "cpu"

    parts = {name: getattr(record, name).model_dump() for name in ("memory", "time", "energy", "work", "state")}
    no_limit = {"state.container", "state.cpu_limit", "state.memory_limit_bytes"}
    predicted_only = {"memory.allocated_interval_bytes", "memory.reserved_interval_bytes"}
    assert set(null_fields(parts)) - set(record.unknown) <= {"energy.source", *predicted_only, *no_limit}
    (tmp_path / "record.json").write_text(dump_records([record]))
    assert load_records(tmp_path / "record.json") == [record]
    assert isinstance(record, Record)


@pytest.mark.slow
def test_a_budget_ends_the_steps_and_says_so(run_step):
    record = run_step("time.sleep(0.1)", budget={"max_seconds": 0.35, "steps": 1000})
    assert 1 <= len(record.time.samples_seconds) < 5
    assert record.time.interval_seconds is None
    assert "5 timed steps" in record.unknown["time.interval_seconds"]
    assert "--max-seconds" in record.unknown["memory.peak_allocated_bytes"]
    assert any("raise --steps or --max-seconds" in warning for warning in record.warnings)


MLM = Recipe(name="tiny", objective="mlm", model="bert-mini", batch_size=2, seq_len=16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"backend": "onnx-cpu", "recipe": MLM.with_options(precision="fp16")},
            "--precision fp16: onnx-cpu trains in fp32 only, or runs --stage infer",
        ),
        (
            {"backend": "onnx-cpu", "recipe": MLM.with_options(activation_checkpointing=True)},
            "--activation-checkpointing: onnx-cpu keeps what its graph needs",
        ),
        ({"backend": "tpu"}, "backend 'tpu' cannot be measured: name one of torch-cuda, torch-cpu, torch-mps"),
    ],
)
def test_what_cannot_be_measured_is_said_before_a_worker_starts(changes, message):
    with pytest.raises(MeasureError, match=message):
        measure(**{"recipe": MLM, "backend": "torch-cpu", "command": [], **changes})


def test_no_card_is_said_in_one_line(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(MeasureError, match=r"no NVIDIA GPU can be used here|hides every GPU"):
        measure(MLM, backend="torch-cuda", command=[])


@pytest.mark.slow
def test_without_numbers_of_steps_they_are_found_out(run_step):
    record = run_step("time.sleep(0.002)", budget={"steps": None, "warmup": None, "tolerance": 0.5})
    assert record.time.warmup_steps >= 9
    assert len(record.time.samples_seconds) >= 10
    assert not any("asked" in warning for warning in record.warnings)


@pytest.mark.slow
def test_a_median_that_is_not_known_well_enough_is_said(run_step):
    record = run_step(
        "time.sleep(0.001 * (1 + len(calls) % 3))",
        budget={"steps": None, "warmup": None, "tolerance": 1e-6, "max_seconds": 3},
    )
    assert any(
        warning.startswith("95 % interval of the median ±") and "asked ±0.0001 %: raise --max-seconds" in warning
        for warning in record.warnings
    )
