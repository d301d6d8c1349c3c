"""Published measurements predicted again: a sample here, all of them by `sslbench validate`, which CI runs too."""

from itertools import groupby
from pathlib import Path

import pytest

from sslbench.bench.accuracy import Accuracy, Comparison, Verdicts, accuracy, verdicts, worsened
from sslbench.bench.errors import RecordError
from sslbench.bench.machines import find_machine
from sslbench.bench.published.rows import METRICS, published_rows, stated_accuracy, stated_verdicts
from sslbench.bench.record import load_records
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.validate import compare_published, compare_records


def group_of(row):
    return row.group, row.metric


EVERY = 9
SAMPLE = [
    row
    for _, rows in groupby(sorted(published_rows(), key=group_of), key=group_of)
    for row in list(rows)[::EVERY]
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
    assert set(stated_accuracy()) == {key for key in groups if key[1] != "runs"}
    assert set(stated_verdicts()) == {group for group, metric in groups if metric == "runs"}


def test_a_sample_of_published_rows_is_predicted_as_well_as_stated(tmp_path):
    for row, found in zip(SAMPLE, compare_published(SAMPLE, TraceCache(tmp_path)), strict=True):
        assert abs(found.error) <= stated_accuracy()[row.group, row.metric]["worst"], row.id


def test_verdicts_on_models_of_timm_are_right_or_tight(tmp_path, timm):
    rows = [row for row in published_rows() if row.group == "timm-brackets"][10:14]
    (found,) = verdicts(compare_published(rows, TraceCache(tmp_path)))
    assert (found.rows, found.wrong) == (4, 0)


def test_errors_are_relative_to_what_was_measured_and_ordered():
    found = [comparison(predicted=100 + error, inside=error < 9) for error in (*range(10), -20)]
    (errors,) = accuracy(found)
    assert errors == Accuracy(
        "group", "allocated", 11, pytest.approx(0.05), pytest.approx(0.09), pytest.approx(0.2), 10 / 11
    )


def test_a_verdict_is_tight_between_five_and_ninety_five_percent():
    found = [
        comparison(measured, probability, "runs", None)
        for measured, probability in ((1, 0.99), (0, 0.96), (1, 0.94), (0, 0.5), (0, 0.02))
    ]
    assert verdicts(found) == [Verdicts("group", 5, pytest.approx(0.4), pytest.approx(1 / 3))]
    assert accuracy(found) == []


def test_what_is_worse_than_stated_is_said():
    (group, metric), stated = next(iter(stated_accuracy().items()))
    as_stated = Accuracy(group, metric, 1, stated["median"], stated["ninth_decile"], stated["worst"], None)
    assert worsened([as_stated]) == []
    worse = Accuracy(group, metric, 1, stated["median"] + 0.01, stated["ninth_decile"], stated["worst"], None)
    (problem,) = worsened([worse])
    assert problem.startswith(f"{group}, {metric}: median error")
    (group, shares) = next(iter(stated_verdicts().items()))
    (problem,) = worsened([Verdicts(group, 9, shares["tight"], shares["wrong"] + 0.1)])
    assert "share of wrong verdicts" in problem


@pytest.fixture
def measured(tmp_path):
    """A measured record of a small step on the CPU, from the files that must stay readable."""
    folder = Path(__file__).parents[1] / "data" / "records"
    records = [record for path in sorted(folder.glob("*.json*")) for record in load_records(path)]
    return next(record for record in records if record.kind == "measurement" and record.backend == "torch-cpu")


def test_a_measured_record_is_compared_in_all_that_it_measured(measured, tmp_path):
    found = list(compare_records([measured], TraceCache(tmp_path)))
    by_metric = {row.metric: row for row in found}
    assert by_metric["seconds"].measured == measured.time.step_seconds
    assert by_metric["device"].measured == measured.memory.required_bytes
    if measured.memory.peak_allocated_bytes:
        assert abs(by_metric["allocated"].error) < 0.05


def test_a_backend_that_is_not_predicted_is_named(measured, tmp_path):
    other = measured.model_copy(update={"backend": "onnx-cuda"})
    with pytest.raises(RecordError, match="backend onnx-cuda is not predicted"):
        list(compare_records([other], TraceCache(tmp_path)))
