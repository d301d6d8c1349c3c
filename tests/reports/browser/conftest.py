"""Pages in a real browser, which is the fixture `browser`."""

import pytest

from sslbench.bench.gate.timed import compare_records
from sslbench.reports.gate import FORMATS
from sslbench.reports.html import render_html, render_probe


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
def pages(whole_report, probed, sweep):
    """Every kind of page that we write, by its name."""
    slower = sweep[0].time.model_copy(update={"samples_seconds": [1.2 * one for one in sweep[0].time.samples_seconds]})
    comparison = compare_records(
        sweep[:2], [sweep[0].model_copy(update={"time": slower}), sweep[1]], names=("main", "branch"), limits={}
    )
    return {"report": whole_report, "gate": FORMATS["html"](comparison), "probe": render_probe(probed)}


def _complaint(message):
    return [f"console: {message.text}"] if message.type in {"error", "warning", "assert"} else []


def _foreign(url, own):
    return [] if url.partition("#")[0] == own or url.startswith("data:") else [f"request: {url}"]
