import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.consistency import inconsistencies
from sslbench.bench.quantities import Time
from sslbench.bench.record import load_records
from sslbench.bench.statistics import median_absolute_deviation, run_interval

RECORDS = Path(__file__).parents[1] / "data" / "records"
MEASURED = load_records(RECORDS / "profile-cpu.json")[0]
STEPS = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=60)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_records_that_were_really_made_agree(path):
    for record in load_records(path):
        count, found = inconsistencies(record)
        assert count
        assert found == []


@pytest.mark.parametrize(
    ("part", "field", "named"),
    [
        ("time", "step_seconds", "time.step_seconds"),
        ("time", "mad_seconds", "time.mad_seconds"),
        ("time", "samples_per_second", "time.samples_per_second"),
        ("time", "tokens_per_second", "time.tokens_per_second"),
        ("memory", "required_bytes", "predicted.memory_error"),
        ("work", "flops", "utilization.flops_per_second"),
        ("predicted", "time_error", "predicted.time_error"),
        ("utilization", "model_flops_utilization", "utilization.model_flops_utilization"),
    ],
)
def test_a_figure_that_was_changed_disagrees(part, field, named):
    holder = getattr(MEASURED, part)
    value = getattr(holder, field)
    changed = holder.model_copy(update={field: type(value)(value * 1.01) if value else 0.01})
    _, found = inconsistencies(MEASURED.model_copy(update={part: changed}))
    assert named in {difference.place for difference in found}


def test_an_interval_that_leaves_its_figure_out_disagrees():
    time = MEASURED.time.model_copy(update={"interval_seconds": (1.0, 2.0)})
    _, found = inconsistencies(MEASURED.model_copy(update={"time": time}))
    assert "time.interval_seconds" in {difference.place for difference in found}


def test_figures_that_make_no_sense_disagree():
    use = MEASURED.utilization.model_copy(update={"peak_flops_per_second": 0.0})
    time = MEASURED.time.model_copy(update={"samples_seconds": [-1.0] * 9})
    for changed in ({"utilization": use}, {"time": time}):
        assert inconsistencies(MEASURED.model_copy(update=changed))[1]


@given(STEPS)
def test_what_follows_from_any_steps_agrees_with_them(samples):
    record = MEASURED.model_copy(update={"time": time_of(samples), "predicted": None, "utilization": None})
    assert inconsistencies(record)[1] == []


@given(STEPS, st.integers(0, 59), st.floats(1.5, 10))
def test_a_changed_step_is_found_where_it_moves_a_figure(samples, at, factor):
    samples[at % len(samples)] *= factor
    time = time_of(samples).model_copy(update={"step_seconds": statistics.median(samples) * 1.001})
    record = MEASURED.model_copy(update={"time": time, "predicted": None, "utilization": None})
    assert "time.step_seconds" in {difference.place for difference in inconsistencies(record)[1]}


def time_of(samples):
    median = statistics.median(samples)
    rate = MEASURED.recipe.batch_size / median
    return Time(
        step_seconds=median,
        interval_seconds=run_interval(samples),
        mad_seconds=median_absolute_deviation(samples),
        samples_seconds=samples,
        samples_per_second=rate,
        tokens_per_second=rate * MEASURED.recipe.seq_len,
    )
