"""How long a report of 12 recipes on 60 machines takes to make and to open in a browser, and how large it is."""

from pathlib import Path

import pytest

from sslbench.bench.record import load_records
from sslbench.hardware_profiles.loader import load_machine, search_machines
from sslbench.reports.html import render_html

SAMPLES = Path(__file__).parents[1] / "data" / "records"
RECIPES, MACHINES = 12, 60


@pytest.fixture(scope="module")
def records():
    samples = [load_records(SAMPLES / f"prediction-{name}.json")[0] for name in ("fits", "tight", "does-not-fit")]
    machines = [load_machine(name) for name in search_machines("rtx")[:MACHINES]]
    made = []
    for number in range(RECIPES):
        sample = samples[number % len(samples)]
        recipe = sample.recipe.model_copy(update={"name": f"recipe-{number}", "title": f"Recipe {number}"})
        made += [sample.model_copy(update={"recipe": recipe, "machine": machine}) for machine in machines]
    return made


@pytest.mark.benchmark(group="12 recipes on 60 machines")
def test_making_the_report(benchmark, records, capsys):
    html = benchmark.pedantic(render_html, [records], rounds=3)
    benchmark.extra_info["bytes"] = len(html.encode())
    with capsys.disabled():
        print(f"\na report of {len(records)} predictions: {len(html.encode()) / 1e6:.2f} MB")  # noqa: T201 - the result


@pytest.mark.benchmark(group="12 recipes on 60 machines")
def test_opening_the_report(benchmark, records, browser, tmp_path):
    """From the request until the page has been drawn."""
    path = tmp_path / "report.html"
    path.write_text(render_html(records), encoding="utf-8")
    page = browser.new_page()

    def open_page():
        page.goto(path.as_uri())
        page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))")

    benchmark.pedantic(open_page, rounds=5, warmup_rounds=1)
    page.close()
