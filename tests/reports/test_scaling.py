"""Several devices in a picture: throughput, the ideal, and efficiency."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.billing import Plan
from sslbench.bench.quantities import Time
from sslbench.reports.html import render_html
from sslbench.reports.markdown import render_markdown
from sslbench.reports.scaling import MOST, scaling_pictures


@pytest.fixture(scope="session")
def grown(sample):
    """A prediction on so many devices of a machine, each of which alone takes `single_s`."""

    def made(devices, step_s, *, single_s=0.1, machine="a100", strategy="ddp", kind="prediction"):
        record = sample("prediction-fits")
        plan = Plan(
            strategy=strategy,
            devices=devices,
            machines=1,
            bus_bytes_per_second=1e11,
            single_step_seconds=single_s,
            communication_bytes=2**20,
            communication_seconds=0.004,
            exposed_seconds=0.001,
            efficiency=single_s / step_s,
        )
        profile = record.machine.model_copy(update={"name": machine, "device_count": devices})
        time = Time(step_seconds=step_s, interval_seconds=(0.9 * step_s, 1.1 * step_s))
        return record.model_copy(update={"machine": profile, "plan": plan if devices > 1 else None, "time": time})

    return made


def test_more_devices_are_held_against_as_many_single_ones(grown):
    (drawn,) = scaling_pictures([grown(8, 0.125), grown(2, 0.1)])
    (series,) = drawn.series
    batch = 8 * grown(8, 0.125).recipe.batch_size
    assert [point.efficiency_at[0] for point in series.points] == [3.0, pytest.approx(3 + 79 / 3, abs=0.01), 82.0]
    assert [row.efficiency for row in drawn.rows] == ["100 %", "100 %", "80 %"]
    assert [row.exposed for row in drawn.rows] == ["", "1.00 ms", "1.00 ms"]
    one, two, eight = series.points
    x1, y1, _, y2 = series.ideal
    assert (x1, y1) == one.at
    assert y2 < eight.at[1]
    assert two.at[1] == pytest.approx(y1 + (y2 - y1) / 3, abs=0.02)  # log 2 is a third of log 8
    assert drawn.words == (
        f"8 a100, predicted: {batch / 0.125:,.0f} sequences/s, ddp: 80 % of as many single ones; "
        "1.00 MiB exchanged a step in 4.00 ms, of which 1.00 ms not hidden",
    )


def test_a_record_of_one_device_stands_before_what_another_was_held_against(grown):
    (drawn,) = scaling_pictures([grown(2, 0.13), grown(1, 0.12)])
    assert [row.step for row in drawn.rows] == ["120 ms", "130 ms"]
    assert [row.interval for row in drawn.rows] == ["108 to 132 ms", "117 to 143 ms"]


def test_measured_devices_stand_beside_predicted_ones_and_say_so(on_cards):
    (drawn,) = scaling_pictures([on_cards])
    (series,) = drawn.series
    assert (series.name, series.basis) == ("h200", "measured")
    assert drawn.words == (
        "2 h200, measured: 3,107 sequences/s, 2 devices, ddp over nccl; efficiency 95 %; one device takes 39.1 ms",
    )
    page = render_html([on_cards])
    assert "<b>measured</b>" in page
    assert f"<title>{series.points[1].label}</title>" in page


def test_strategies_and_machines_are_series_of_their_own(grown):
    records = [grown(4, 0.2), grown(4, 0.3, strategy="fsdp"), grown(4, 0.1, machine="h100", single_s=0.09)]
    (drawn,) = scaling_pictures(records)
    assert [series.name for series in drawn.series] == ["h100", "a100", "a100 fsdp"]
    assert {label.text for label in drawn.labels if label.screen == "wide"} == {"h100", "a100", "a100 fsdp"}


def test_there_are_no_more_machines_than_colours(grown):
    (drawn,) = scaling_pictures([grown(2, 0.1 + number, machine=f"m{number}") for number in range(MOST + 2)])
    assert (len(drawn.series), len(drawn.rows), drawn.rest) == (MOST, 2 * MOST, "2 slower ones are not shown")


def test_one_device_is_no_scaling(samples, sweep):
    assert scaling_pictures([*samples, *sweep]) == []
    assert "Several devices" not in render_html(samples)


seconds = st.floats(1e-9, 1e9)


@given(st.lists(st.tuples(st.integers(1, 5000), seconds, seconds, st.sampled_from("ab")), max_size=12))
def test_any_devices_stand_within_the_drawing(grown, rows):
    for drawn in scaling_pictures([grown(n, step, single_s=one, machine=name) for n, step, one, name in rows]):
        for series in drawn.series:
            spans = [place for point in series.points for place in point.span or ()]
            places = [place for point in series.points for place in (*point.at, *point.efficiency_at)]
            assert all(0 <= place <= 100 for place in (*places, *spans, *series.ideal))
            assert [point.at[0] for point in series.points] == sorted(point.at[0] for point in series.points)


def test_markdown_has_the_devices_as_a_table(grown):
    text = render_markdown([grown(8, 0.125)])
    assert re.search(r"^\| a100 \| 8 \| predicted \| .* \| 125 ms \| 112 to 138 ms \| 80 % \|$", text, re.MULTILINE)
