"""Published measurements predicted again: a sample here, all of them by `sslbench validate`, which CI runs too."""

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from sslbench.bench.accuracy import TOLERANCE, Accuracy, Comparison, Verdicts, accuracy, verdicts, worsened
from sslbench.bench.machines import find_machine
from sslbench.bench.measured import Failure, Predicted
from sslbench.bench.published import timm as published_timm
from sslbench.bench.published.rows import METRICS, published_rows, stated_accuracy, stated_verdicts
from sslbench.bench.quantities import Memory, Time
from sslbench.bench.record import load_records
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.validate import compare_published, compare_records, not_compared


def group_of(row):
    return row.group, row.metric


EVERY = 9
LARGE = ("bart", "bert-nvidia", "bert-squad", "llm-training")
"""Groups of models that take seconds to trace: one row of each."""
SAMPLE = [
    row
    for (group, _), rows in groupby(sorted(published_rows(), key=group_of), key=group_of)
    for row in (list(rows)[-1:] if group in LARGE else list(rows)[::EVERY])
    if not row.needs
]


def comparison(measured=100.0, predicted=100.0, metric="allocated", inside=True):
    return Comparison("row", "group", metric, "rtx-4090", measured, predicted, inside)


def test_published_rows_are_well_formed():
    rows = published_rows()
    assert len({row.id + row.metric for row in rows}) == len(rows)
    for row in rows:
        assert row.metric in METRICS
        assert row.source.startswith("https://")
        assert row.value > 0 or row.metric == "runs"
        find_machine(row.machine, cuda=row.cuda or None)


def test_every_group_has_a_stated_accuracy():
    groups = {(row.group, row.metric) for row in published_rows()}
    traced = {(group, "seconds") for group in published_timm.GROUPS}
    assert set(stated_accuracy()) == {key for key in groups if key[1] != "runs"} | traced
    assert set(stated_verdicts()) == {group for group, metric in groups if metric == "runs"}


@pytest.mark.slow
def test_a_sample_of_published_rows_is_predicted_as_well_as_stated(tmp_path):
    for row, found in zip(SAMPLE, compare_published(SAMPLE, TraceCache(tmp_path)), strict=True):
        assert abs(found.error) <= stated_accuracy()[row.group, row.metric]["worst"] + TOLERANCE, row.id


def test_verdicts_on_models_of_timm_are_right_or_tight(tmp_path, timm):
    rows = [row for row in published_rows() if row.group == "timm-brackets"][10:14]
    (found,) = verdicts(compare_published(rows, TraceCache(tmp_path)))
    assert (found.rows, found.wrong) == (4, 0)


def test_errors_are_relative_to_what_was_measured_and_ordered():
    found = [comparison(predicted=100 + error, inside=error < 9) for error in (*range(10), -20)]
    (errors,) = accuracy(found)
    assert (errors.rows, errors.inside) == (11, 10 / 11)
    stated = (errors.mean, errors.median, errors.ninth_decile, errors.worst)
    assert stated == pytest.approx((0.65 / 11, 0.05, 0.09, 0.2))


def test_a_verdict_is_tight_between_five_and_ninety_five_percent():
    found = [
        comparison(measured, probability, "runs", None)
        for measured, probability in ((1, 0.99), (0, 0.96), (1, 0.94), (0, 0.5), (0, 0.02))
    ]
    assert verdicts(found) == [Verdicts("group", 5, pytest.approx(0.4), pytest.approx(1 / 3))]
    assert accuracy(found) == []


def test_what_is_worse_than_stated_is_said():
    (group, metric), stated = next(iter(stated_accuracy().items()))
    as_stated = Accuracy(group=group, metric=metric, **{**stated, "rows": 1})
    assert worsened([as_stated]) == []
    (problem,) = worsened([replace(as_stated, median=stated["median"] + 0.01)])
    assert problem.startswith(f"{group}, {metric}: median error")
    (group, shares) = next(iter(stated_verdicts().items()))
    (problem,) = worsened([Verdicts(group, 9, shares["tight"], shares["wrong"] + 0.1)])
    assert "share of wrong verdicts" in problem


RECORDS = Path(__file__).parents[1] / "data" / "records"
MEASURED = [
    record for path in sorted(RECORDS.glob("*.json*")) for record in load_records(path) if record.kind == "measurement"
]


@pytest.fixture
def measured():
    """A measured record of a small step on the CPU that carries no prediction, from the files that stay readable."""
    return next(record for record in MEASURED if record.backend == "torch-cpu" and record.predicted is None)


def carrying(record, **predicted):
    """The record with a prediction of its own."""
    memory = Memory(required_bytes=1000 * 2**20, interval_bytes=(900 * 2**20, 1100 * 2**20), capacity_bytes=2**33)
    table = {"memory": memory, "time": Time(step_seconds=0.3), "verdict": "fits", **predicted}
    return record.model_copy(update={"predicted": Predicted(**table)})


def by_metric(records, cache, **options):
    return {row.metric: row for row in compare_records(records, cache, **options)}


def test_a_measured_record_is_compared_in_all_that_it_measured(measured, tmp_path):
    found = by_metric([measured], TraceCache(tmp_path))
    assert found["seconds"].measured == measured.time.step_seconds
    assert found["device"].measured == measured.memory.required_bytes
    assert (found["runs"].measured, found["runs"].predicted > 0.95) == (1, True)
    assert found["device"].name == "bert-mini-mlm train fp32, batch 8"


def test_a_prediction_that_is_carried_counts_unless_asked_again(measured, tmp_path):
    record = carrying(measured)
    own = by_metric([record], TraceCache(tmp_path))
    assert set(own) == {"runs", "device", "seconds"}
    assert (own["device"].predicted, own["device"].inside) == (1000 * 2**20, False)
    assert (own["seconds"].predicted, own["seconds"].inside) == (0.3, None)
    assert not list(tmp_path.iterdir())  # nothing was traced
    again = by_metric([record], TraceCache(tmp_path), again=True)
    assert again["device"].predicted == by_metric([measured], TraceCache(tmp_path))["device"].predicted


def test_out_of_memory_is_a_row_of_its_own(measured, tmp_path):
    failure = Failure(kind="out-of-memory", phase="warm-up", steps_done=0, message="")
    failed = carrying(measured, verdict="does-not-fit").model_copy(
        update={"failure": failure, "memory": Memory(), "time": Time()}
    )
    (row,) = compare_records([failed], TraceCache(tmp_path))
    assert (row.metric, row.measured, row.predicted) == ("runs", 0, 0)
    assert verdicts([row]) == [Verdicts("torch-cpu", 1, 0, 0)]


@pytest.mark.parametrize("again", [False, True])
def test_committed_measurements_are_predicted_within_their_intervals(tmp_path, again):
    """Memory, which does not depend on what else goes on in the machine."""
    whole = [record for record in MEASURED if record.predicted is not None]
    rows = list(compare_records(whole, TraceCache(tmp_path), again=again))
    memory = {row.metric: row for row in rows if row.metric in ("allocated", "device")}
    assert set(memory) == {"allocated", "device"}
    assert all(row.inside for row in memory.values()), memory


def test_a_record_that_cannot_be_compared_says_why(measured):
    assert not_compared(measured) == ""
    assert not_compared(measured.model_copy(update={"backend": "onnx-cuda"})) == "onnx-cuda is not predicted"
    assert "training in ONNX" in not_compared(measured.model_copy(update={"backend": "onnx-cpu"}))
    two = measured.machine.model_copy(update={"device_count": 2})
    assert "several devices" in not_compared(measured.model_copy(update={"machine": two}))
    crash = Failure(kind="crashed", phase="warm-up", steps_done=0, message="")
    assert not_compared(measured.model_copy(update={"failure": crash})) == "did not run (crashed)"
