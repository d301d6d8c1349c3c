"""Measured over predicted on one axis: where dots and bars stand, and what is counted."""

from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.quantities import Memory, Time
from sslbench.reports.html import render_html
from sslbench.reports.report_view import build_report


def said(measurement, step_s, *, spread=None, peak_bytes=None):
    """The measurement with another prediction."""
    time = Time(step_seconds=step_s, interval_seconds=spread and (step_s / spread, step_s * spread))
    memory = Memory(peak_allocated_bytes=peak_bytes)
    predicted = measurement.predicted.model_copy(update={"time": time, "memory": memory})
    return measurement.model_copy(update={"predicted": predicted})


def test_a_dot_is_the_ratio_and_a_bar_the_interval(sweep):
    real = sweep[0].time.samples_seconds
    median = sorted(real)[len(real) // 2]
    (panel,) = build_report([said(sweep[0], median / 1.5, spread=1.2), said(sweep[1], 0.5, spread=1.2)]).ratios
    low, high = panel.pairs
    assert (panel.title, panel.ticks[2]) == ("Step time", (50.0, "1"))
    assert high.label == "measured is 1.50 times predicted, interval 0.83 to 1.20"
    assert low.left == high.left
    assert low.left + low.width < high.at
    assert [pair.row.inside for pair in panel.pairs] == [True, False]
    assert panel.summary.startswith("1 of 2 in their 90 % interval, ")


def test_each_measurement_stands_once_with_its_own_prediction_or_one_beside_it(sweep, samples):
    alone = build_report(sweep).ratios
    assert [(panel.title, len(panel.pairs)) for panel in alone] == [("Step time", 5), ("Memory", 5)]
    assert all(pair.detail.startswith("batch ") for pair in alone[0].pairs)
    beside = build_report(samples)
    assert beside.comparisons
    assert sum(len(panel.pairs) for panel in beside.ratios) >= len(beside.comparisons)
    page = render_html(samples)
    assert beside.ratios[0].pairs[0].label in page


def test_of_the_memory_the_first_that_is_known_is_drawn_and_named(sweep):
    held = sweep[0].memory.peak_allocated_bytes
    report = build_report([said(sweep[0], 0.2, peak_bytes=held)])
    (pair,) = report.ratios[1].pairs
    assert (pair.ratio, pair.at) == (1.0, 50.0)
    assert pair.detail.endswith(", peak of tensors")
    assert report.ratios[1].summary == "0 % off in the median"


def test_without_a_pair_there_is_no_section(sample):
    assert build_report([sample("prediction-fits")]).ratios == ()
    assert "Predicted against measured" not in render_html([sample("prediction-fits")])


seconds = st.floats(1e-9, 1e9)


@given(st.lists(st.tuples(st.just(0.0) | seconds, st.none() | st.floats(1, 1e6)), min_size=1, max_size=50))
def test_any_pair_stands_within_the_axis_from_low_to_high(sweep, rows):
    panels = build_report([said(sweep[0], step_s, spread=spread) for step_s, spread in rows]).ratios
    assert len(panels) == any(step_s for step_s, _ in rows)
    for panel in panels:
        ratios = [pair.ratio for pair in panel.pairs]
        assert ratios == sorted(ratios)
        assert [pair.at for pair in panel.pairs] == sorted(pair.at for pair in panel.pairs)
        for pair in panel.pairs:
            assert 0 <= pair.left <= pair.left + pair.width <= 100
            if pair.row.inside:
                assert pair.left - 0.02 <= pair.at <= pair.left + pair.width + 0.02
