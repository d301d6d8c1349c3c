"""The page of a probed machine."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.hardware_profiles.loader import load_machine
from sslbench.reports.axes import log_axis
from sslbench.reports.html import render_probe
from sslbench.reports.probe import probe_view
from sslbench.reports.probe_charts import probe_charts
from sslbench.reports.probe_text import probe_markdown


def test_figures_stand_beside_the_datasheet(probed):
    rows = {row.name: row for row in probe_view(probed).figures}
    peak, copy = rows["dense peak, bf16"], rows["memory bandwidth"]
    assert (peak.measured, peak.rated, peak.share) == ("733 TFLOP/s", "990 TFLOP/s", "74 %")
    assert (copy.measured, copy.rated, copy.share) == ("4.29 TB/s", "4.80 TB/s", "89 %")
    assert (rows["dense peak, int8"].measured, rows["dense peak, int8"].rated) == ("-", "1.98 PFLOP/s")


def test_rates_follow_from_times(probed):
    kernels = {kernel.title: kernel for kernel in probe_view(probed).kernels}
    assert [point.rate for point in kernels["copy, fp32"].points] == ["1.05 TB/s", "4.29 TB/s"]
    assert kernels["copy, fp32"].points[1].shape == "1.00 GiB"
    assert kernels["matmul, bf16"].points[0].rate == "733 TFLOP/s"
    assert kernels["eager block, fp32"].points[0].rate == ""


def test_marks_stand_within_the_chart(probed):
    roofline, memory = probe_charts(probed)
    assert len(roofline.marks) == 4
    assert len(memory.marks) == 3
    for chart in (roofline, memory):
        assert all(chart.left <= mark.x <= chart.right and chart.top <= mark.y <= chart.bottom for mark in chart.marks)
    fast, slow = roofline.marks[:2]
    assert fast.y < slow.y
    assert fast.x > slow.x
    assert [mark.hollow for mark in roofline.marks] == [False, False, True, False]
    assert [line.key for line in roofline.lines] == ["roof", "rated"]


def test_nothing_timed_draws_nothing():
    assert probe_charts(load_machine("h200")) == []


def test_no_text_is_markup(probed):
    page = render_probe(probed)
    assert "<script>alert" not in page
    assert "\x1b" not in page.partition('id="machine"')[0]
    assert "\u202e" not in page.partition('id="machine"')[0]
    (found,) = re.findall(r'<script type="application/json" id="machine">(.*?)</script>', page, re.DOTALL)
    assert json.loads(found)["title"] == probed.title
    assert "<script>" not in probe_markdown(probed)


@given(st.lists(st.floats(1e-9, 1e15), min_size=1, max_size=9))
def test_a_logarithmic_axis_holds_its_values_in_order(values):
    axis = log_axis(values, 10, 110)
    places = [axis.place(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10 <= place <= 110 for place in places)
    assert axis.low <= min(values) * 1.001
    assert axis.high >= max(values) * 0.999
    ticks = axis.ticks()
    assert len(ticks) >= 2
    assert all(
        math.isclose(
            axis.place(tick), 10 + 100 * math.log(tick / axis.low) / math.log(axis.high / axis.low), abs_tol=0.1
        )
        for tick in ticks
    )


@pytest.mark.parametrize("values", [[], [0.0], [-1.0, 1.0]])
def test_what_no_logarithmic_axis_can_hold(values):
    with pytest.raises(ValueError, match="positive"):
        log_axis(values, 0, 1)
