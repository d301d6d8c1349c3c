"""Sections of comparisons and histories in a real browser."""

import pytest

from sslbench.bench.comparison import Cause, MetricChange, StepChange, spread_of
from sslbench.bench.comparison import Comparison as GateComparison
from sslbench.bench.history import Change, History, StepHistory, Trend
from sslbench.reports.html import render_html


@pytest.fixture(scope="module")
def page_text():
    """A comparison with measured and traced steps, and a history with a change."""
    base = [0.030 + 1e-4 * (7 * at % 11) for at in range(60)]
    time = MetricChange(
        name="time.step_seconds",
        unit="seconds",
        base=0.0305,
        new=0.0335,
        outcome="regression",
        allowed=0.001,
        interval=(0.08, 0.12),
        p_value=0.001,
    )
    causes = tuple(
        Cause(text=f"`{'x' * 60}` at src/a_long_name_of_a_module.py:{line} is new", change=change)
        for line, change in ((3, 5e6), (9, -1e6))
    )
    memory = MetricChange(
        name="memory.peak_requested_bytes", unit="bytes", base=1e8, new=1.04e8, outcome="regression", causes=causes
    )
    spreads = (spread_of([base, base]), spread_of([[1.1 * step for step in base]]))
    steps = (
        StepChange(name="my_step:build", where="torch-cpu", layer="timed", metrics=(time,), spreads=spreads),
        StepChange(name="my_step:build", where="cuda", layer="exact", metrics=(memory,)),
    )
    values = [0.030] * 20 + [0.033] * 20
    trend = Trend(
        metric="time.step_seconds",
        unit="seconds",
        values=tuple(values),
        changes=(Change(at=20, share=0.1, before=0.03, after=0.033),),
    )
    step = StepHistory(
        name="my_step:build",
        where="torch-cpu",
        records=40,
        numbers=tuple(range(40)),
        created=tuple(f"2026-03-01T{at // 2:02d}:00:00+00:00" for at in range(40)),
        commits=tuple(f"c{at}" for at in range(40)),
        trends=(trend,),
    )
    comparison = GateComparison(base="main", new="branch", steps=steps)
    return render_html((), comparisons=[comparison], histories=[History(source="history/", steps=(step,))])


def test_the_slider_and_the_pointer_read_records(open_page, page_text):
    page = open_page(page_text)
    slider, words = page.get_by_label("Read record"), page.locator(".reader output")
    assert words.inner_text() == "2026-03-01 19:00, commit c39, Step time 33.0 ms"
    slider.focus()
    page.keyboard.press("Home")
    assert words.inner_text() == "2026-03-01 00:00, commit c0, Step time 30.0 ms"
    box = page.locator(".trend svg").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 20.2 / 39, box["y"] + box["height"] / 2)
    assert words.inner_text() == "2026-03-01 10:00, commit c20, Step time 33.0 ms"
    assert slider.input_value() == "20"
    assert page.locator(".trend .cursor").is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_sections_are_whole_on_a_phone(open_page, page_text, scheme):
    page = open_page(page_text, width=390, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_text("+10.0 % (30.0 ms -> 33.0 ms)").is_visible()


@pytest.mark.slow
def test_all_is_readable_without_the_script(open_page, page_text):
    page = open_page(page_text, scripts=False)
    assert page.locator(".reader").count() == 0
    page.get_by_text("Records as a table").click()
    assert page.locator("table.records tbody tr").count() == 40
