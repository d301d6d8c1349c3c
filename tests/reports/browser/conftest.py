"""Pages in a real browser, which is the fixture `browser`."""

import pytest

from sslbench.bench.comparison import Cause, Comparison, MetricChange, StepChange, spread_of
from sslbench.bench.history import Change, History, StepHistory, Trend
from sslbench.reports.html import render_html, render_probe
from sslbench.reports.index_page import index_page


@pytest.fixture
def watched(browser, tmp_path):
    """Opens HTML from a file of its own; returns the page, and the list that its faults are written into.

    A fault is an error on the console (a breach of the Content-Security-Policy is one), an exception of a script, or a
    request for anything but the file itself.
    """
    contexts = []

    def open_(html, *, width=1200, height=900, scheme="light", scripts=True):
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page, faults = context.new_page(), []
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(f"script failed: {error}"))
        page.on("console", lambda message: faults.extend(_complaint(message)))
        page.on("request", lambda request: faults.extend(_foreign(request.url, path.as_uri())))
        page.goto(path.as_uri())
        return page, faults

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(watched):
    """`open_page(html, width=390, scheme="dark", scripts=False)`: opened as by `watched`; a fault fails the test."""
    pages = []

    def open_(html, **options):
        page, faults = watched(html, **options)
        pages.append(faults)
        assert not faults
        return page

    yield open_
    assert not any(pages), pages


@pytest.fixture(scope="session")
def whole_report(samples, sweep, on_cards, explained, with_grid):
    """A report with everything that a report can show."""
    return render_html([*samples, *sweep, on_cards, with_grid(explained(samples[1]))])


@pytest.fixture(scope="session")
def gate_page():
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
    comparison = Comparison(base="main", new="branch", steps=steps)
    return render_html((), comparisons=[comparison], histories=[History(source="history/", steps=(step,))])


@pytest.fixture(scope="session")
def index(whole_report, gate_page, tmp_path_factory):
    """A page that lists two reports."""
    folder = tmp_path_factory.mktemp("reports")
    for name, page in (("a.html", whole_report), ("b.html", gate_page)):
        (folder / name).write_text(page, encoding="utf-8")
    return index_page(folder, folder / "index.html")[0]


@pytest.fixture(scope="session")
def pages(whole_report, gate_page, index, probed):
    """Every kind of page that we write, by its name."""
    return {"report": whole_report, "gate": gate_page, "probe": render_probe(probed), "index": index}


def _complaint(message):
    return [f"console: {message.text}"] if message.type in {"error", "warning", "assert"} else []


def _foreign(url, own):
    return [] if url.partition("#")[0] == own or url.startswith("data:") else [f"request: {url}"]
