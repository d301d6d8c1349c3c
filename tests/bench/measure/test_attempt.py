import os

import pytest

from sslbench.bench.errors import MeasureError, OutputError
from sslbench.bench.files import write_atomically
from sslbench.bench.measure.attempt import attempt
from sslbench.bench.measure.budget import Budget
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import dump_records, load_records
from sslbench.bench.resolve import resolve_recipe

MLM = Recipe(name="tiny", objective="mlm", model="bert-mini", batch_size=2, seq_len=16)
EXPLAINED = ("memory", "time", "energy", "work", "state")
NEEDS_NO_REASON = {
    "energy.source",
    "memory.allocated_interval_bytes",
    "memory.reserved_interval_bytes",
    "state.container",
    "state.cpu_limit",
    "state.memory_limit_bytes",
}


def attempt_step(factory, **options):
    recipe = resolve_recipe(factory, {})
    budget = Budget(steps=2, warmup=2)
    return attempt(recipe, backend="torch-cpu", budget=budget, command=["profile", factory], **options)


def test_a_failed_measurement_is_a_record_that_explains_itself(write_step, tmp_path):
    record = attempt_step(write_step("torch.empty(2**60)"), predict=False)
    assert record.failure.kind == "out-of-memory"
    assert record.failure.phase == "warm-up"
    assert record.verdict is None
    assert record.time.step_seconds is None
    assert record.memory.capacity_bytes == record.machine.device.memory_bytes.value
    assert record.unknown["time.step_seconds"] == "the step did not run: out-of-memory in phase 'warm-up'"
    assert record.unknown["predicted"] == "not asked for"
    assert record.state.load_average is not None
    assert record.command[0] == "profile"
    null = {
        f"{part}.{field}"
        for part in EXPLAINED
        for field, value in getattr(record, part).model_dump().items()
        if value is None
    }
    assert null - set(record.unknown) <= NEEDS_NO_REASON
    (tmp_path / "record.json").write_text(dump_records([record]))
    assert load_records(tmp_path / "record.json") == [record]


@pytest.mark.slow
def test_what_ran_out_of_memory_is_predicted_all_the_same(write_step):
    record = attempt_step(write_step(), memory_limit_bytes=2**20)
    assert record.failure.kind == "out-of-memory"
    assert record.predicted.memory.capacity_bytes == 2**20
    assert record.predicted.memory.required_bytes > 0
    assert record.predicted.memory_error is None


def test_a_recipe_that_its_worker_finds_wrong_is_recorded(tmp_path):
    (tmp_path / "my_step.py").write_text("def build(device): return 7\n")
    record = attempt_step(f"{tmp_path}/my_step.py:build")
    assert (record.failure.kind, record.failure.phase) == ("raised", "build")
    assert "expected the step, a function without arguments, got int" in record.failure.message
    assert record.unknown["predicted"] == "the step did not run"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tpu"}, "backend 'tpu' cannot be measured"),
        ({"backend": "torch-cpu", "memory_limit_bytes": 0}, "--memory-limit: more than 0 bytes, got 0"),
    ],
)
def test_what_makes_no_sense_is_still_an_error(options, message):
    with pytest.raises(MeasureError, match=message):
        attempt(MLM, command=[], **options)


def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=r"pipe: is no file that could be replaced"):
        write_atomically(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
