"""Predictions made again, from real traces of a small recipe."""

import json

import pytest

from sslbench.bench.billing import Bill
from sslbench.bench.budget import changed_budget
from sslbench.bench.explanation import Sharpening
from sslbench.bench.fit import Run, fit
from sslbench.bench.machines import find_machine
from sslbench.bench.measured import Predicted
from sslbench.bench.record import Record
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.verify import check_records
from sslbench.bench.what_if import with_what_if


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return TraceCache(tmp_path_factory.mktemp("traces"))


@pytest.fixture(scope="module")
def records(cache):
    recipe = resolve_recipe("bert-mini-mlm", {"batch_size": 4, "seq_len": 32, "precision": "bf16"})
    recipe = recipe.model_copy(update={"budget": changed_budget(None, steps=1000)})
    machines = [find_machine("rtx-4090"), find_machine("a100-80gb:4")]
    run = Run(electricity_usd_per_kwh=0.15)
    return fit(recipe, machines, cache=cache, command=["fit"], explained=True, run=run)


def changed(record, **fields):
    """The record as a file of it is read, with some fields replaced."""
    return Record.model_validate_json(record.model_copy(update=fields).model_dump_json())


def one(record, cache):
    return next(iter(check_records([record], cache)))


def test_predictions_are_the_same_to_the_byte(records, cache):
    checks = list(check_records([changed(record) for record in records], cache))
    assert [check.outcome for check in checks] == ["holds", "holds"]
    assert records[1].bill.electricity_usd is not None


def test_a_byte_is_found(records, cache):
    memory = records[0].memory.model_copy(update={"required_bytes": records[0].memory.required_bytes - 1})
    check = one(changed(records[0], memory=memory), cache)
    assert check.outcome == "differs"
    assert [found.place for found in check.differences] == ["memory.required_bytes"]
    assert check.differences[0].expected == f"{records[0].memory.required_bytes:,}"


def test_a_doubt_that_is_left_out_is_found(records, cache):
    record = changed(records[0], recipe=records[0].recipe.with_options(compile=True))
    places = {found.place for found in one(record, cache).differences}
    assert "warnings" in places


def test_other_software_may_move_figures_within_their_interval(records, cache):
    record = records[0]
    environment = record.environment.model_copy(update={"packages": {**record.environment.packages, "torch": "2.11.0"}})
    time = record.time.model_copy(update={"step_seconds": 1.001 * record.time.step_seconds})
    check = one(changed(record, environment=environment, time=time), cache)
    assert check.outcome == "moved"
    assert any(reason.startswith("torch 2.11.0, now ") for reason in check.reasons)
    far = record.time.model_copy(update={"interval_seconds": (1e-9, 2e-9)})
    assert one(changed(record, environment=environment, time=far), cache).outcome == "differs"


def test_the_build_of_torch_is_no_other_software(records, cache):
    record = records[0]
    public = record.environment.packages["torch"].partition("+")[0]
    packages = {**record.environment.packages, "torch": f"{public}+cu999"}
    memory = record.memory.model_copy(update={"required_bytes": 1})
    environment = record.environment.model_copy(update={"packages": packages})
    assert one(changed(record, environment=environment, memory=memory), cache).reasons == ()


def test_code_that_a_record_names_is_not_run(records, cache, tmp_path):
    marker = tmp_path / "ran"
    (tmp_path / "step.py").write_text(f"open({str(marker)!r}, 'w')\ndef build(device): return print\n")
    recipe = records[0].recipe.model_copy(update={"factory": f"{tmp_path}/step.py:build", "objective": "custom"})
    check = one(changed(records[0], recipe=recipe), cache)
    assert check.outcome == "not checked"
    assert "is not run" in check.summary
    assert not marker.exists()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("model", "nobody/has-this-model", "is not here"),
        ("model", "timm:hf-hub:nobody/model", "is not here"),
        ("objective", "os.path", "is not one of this sslbench"),
        ("options", {"temperature": 1}, "could not be predicted again here"),
    ],
)
def test_what_cannot_be_predicted_here_says_why(records, cache, field, value, reason):
    recipe = records[0].recipe.model_copy(update={field: value})
    check = one(changed(records[0], recipe=recipe), cache)
    assert check.outcome == "not checked"
    assert reason in check.summary


def test_a_sharpened_time_is_compared_without_what_sharpened_it(records, cache):
    record = records[0]
    sharpening = Sharpening(measured=[], unsharpened=record.time)
    time = record.time.model_copy(update={"step_seconds": 1.0, "interval_seconds": (0.9, 1.1)})
    check = one(changed(record, sharpening=sharpening, time=time), cache)
    assert (check.outcome, check.differences) == ("not checked", ())
    unsharpened = record.time.model_copy(update={"step_seconds": 1.0})
    check = one(changed(record, sharpening=Sharpening(measured=[], unsharpened=unsharpened)), cache)
    assert check.outcome == "differs"


def test_the_prediction_that_a_measurement_carries_is_made_again(records, cache):
    record = records[0]
    said = Predicted(
        memory=record.memory, time=record.time, verdict=record.verdict, max_batch_size=record.max_batch_size
    )
    fields = {"kind": "measurement", "predicted": said, "explain": None, "bill": None, "verdict": None}
    measurement = changed(record, **fields, probability_fits=None, max_batch_size=None)
    assert [check.subject for check in check_records([measurement], cache)] == ["measurement", "prediction"]
    assert [check.outcome for check in check_records([measurement], cache)][1] == "holds"
    wrong = said.model_copy(update={"max_batch_size": 1})
    assert list(check_records([changed(measurement, predicted=wrong)], cache))[1].outcome == "differs"


def test_without_predictions_only_agreement_is_checked(records):
    (check,) = check_records([records[0]], None)
    assert check.outcome == "not checked"
    assert "--no-predictions" in check.summary
    bill = Bill.model_validate(records[0].bill.model_dump())
    time = records[0].time.model_copy(update={"samples_per_second": 1.0})
    (check,) = check_records([changed(records[0], time=time, bill=bill)], None)
    assert check.outcome == "differs"


@pytest.mark.slow
def test_a_what_if_grid_is_made_again_cell_by_cell(cache):
    recipe = resolve_recipe("bert-mini-mlm", {"batch_size": 4, "seq_len": 32, "stage": "infer"})
    made = fit(recipe, [find_machine("rtx-4090")], cache=cache, command=["fit"])
    (record,) = with_what_if(made, cache=cache, run=Run())
    assert one(changed(record), cache).outcome == "holds"
    table = json.loads(record.model_dump_json())
    table["what_if"]["settings"][0]["required_bytes"][0] -= 1
    (found,) = one(Record.model_validate(table), cache).differences
    assert found.place.startswith("what_if.")
    assert found.place.endswith(".required_bytes")
