import re

import pytest

from sslbench.bench.billing import Bill
from sslbench.bench.grid import Settings, WhatIf
from sslbench.reports.first_screen import advice, facts, highlights
from sslbench.reports.html import render_html
from sslbench.reports.matrix import matrix
from sslbench.reports.ranking import best_marks, sort_values
from sslbench.reports.report_view import build_report
from sslbench.reports.view import prediction_view


def on(record, name, *, verdict="fits", step_s=0.1, **memory):
    """The record on a machine of another name, with another verdict and step time."""
    machine = record.machine.model_copy(update={"name": name, "title": name})
    time = record.time.model_copy(update={"step_seconds": step_s, "samples_per_second": None})
    changed = {"machine": machine, "time": time, "verdict": verdict, "memory": record.memory.model_copy(update=memory)}
    return record.model_copy(update=changed)


@pytest.fixture
def record(sample):
    return sample("prediction-fits")


def test_one_prediction_leads_with_its_figures(record):
    shown = {fact.name: (fact.value, fact.below) for fact in facts(prediction_view(record), record)}
    assert shown["Memory needed"] == ("13.8 of 24.0 GiB", ("13.2 to 14.4 GiB", "fits with a probability of > 99 %"))
    assert shown["Step time"][0] == "186 ms"
    assert shown["Largest batch that fits"][0] == f"{record.max_batch_size:,}"
    assert all(value for value, _ in shown.values())


def test_figures_of_a_step_that_does_not_fit_say_so(sample):
    record = sample("prediction-does-not-fit")
    found = {fact.name: fact for fact in facts(prediction_view(record), record)}
    assert "if it fit" in found["Step time"].below


def grid(record, *settings):
    """The record with a grid of one batch: precision, checkpointing and largest batch of some settings."""
    columns = {name: [None] for name in Settings.model_fields if name not in SETTING}
    made = [Settings(**dict(zip(SETTING, values, strict=True)), **columns | {"unknown": [""]}) for values in settings]
    return record.model_copy(update={"what_if": WhatIf(batch_sizes=[record.recipe.batch_size], settings=made)})


SETTING = ("precision", "activation_checkpointing", "max_batch_size")


def test_advice_names_what_would_fit(sample):
    record = sample("prediction-does-not-fit").model_copy(update={"max_batch_size": 12})
    precision, batch = record.recipe.precision, record.recipe.batch_size
    other = "fp16" if precision != "fp16" else "fp32"
    assert advice(record) == "Take a batch of at most 12."
    assert (
        advice(record.model_copy(update={"max_batch_size": 0})) == "Not even a batch of 1 fits: take a larger machine."
    )
    offered = grid(record, (precision, False, 12), (other, True, 9 * batch), (precision, True, batch))
    assert advice(offered).endswith("or keep the batch with activation checkpointing.")
    offered = grid(record, (precision, False, 12), (other, True, batch), (precision, True, batch - 1))
    assert advice(offered).endswith(f"or keep the batch with {other} and activation checkpointing.")


def test_there_is_advice_for_every_verdict_but_fits(record):
    given = {verdict: advice(record.model_copy(update={"verdict": verdict})) for verdict in ("tight", "spills", "fits")}
    assert given.pop("fits") == ""
    assert all(given.values())


def test_the_best_is_marked_with_its_reason(record):
    records = [
        on(record, "a", step_s=0.1),
        on(record, "b", step_s=0.2, required_bytes=2**33),
        on(record, "c", step_s=0.3),
    ]
    assert best_marks(records)[:2] == [("fastest",), ("least memory",)]
    views = [prediction_view(each) for each in records]
    assert next(highlights(views, best_marks(records))) == ("Fastest", "a", "100 ms a step")


def test_what_does_not_fit_is_best_at_nothing_and_a_hundredth_is_no_lead(record):
    records = [on(record, "a", verdict="does-not-fit"), on(record, "b", step_s=1.0), on(record, "c", step_s=1.01)]
    assert best_marks(records) == [(), (), ()]


def test_rows_sort_by_the_records_own_numbers(record):
    values = sort_values(record)
    assert values.memory == record.memory.required_bytes
    assert values.step == record.time.step_seconds
    fits, tight, out = (sort_values(on(record, "a", verdict=verdict)) for verdict in ("fits", "tight", "does-not-fit"))
    assert fits.verdict < tight.verdict < out.verdict


def groups_of(records):
    return [tuple(zip(group.predictions, group.marks, strict=True)) for group in build_report(records).groups]


def recipes(record, count):
    """The record with other recipes."""
    return [
        record.model_copy(update={"recipe": record.recipe.model_copy(update={"title": f"recipe {each}"})})
        for each in range(count)
    ]


def test_recipes_and_machines_are_a_matrix_with_the_longer_list_down_the_side(record):
    records = [
        on(each, name, step_s=step_s) for each in recipes(record, 2) for name, step_s in (("a", 1), ("b", 2), ("c", 3))
    ]
    found = matrix(groups_of(records[:-1]))
    assert found.corner == "Machine"
    assert [line.name for line in found.lines] == ["a", "b", "c"]
    assert [name for name, _ in found.columns] == ["recipe 0", "recipe 1"]
    assert [cell and cell.texts[0] for cell in found.lines[2].cells] == ["3.00 s", None]
    assert [cell.best[0] for line in found.lines for cell in line.cells if cell] == [True, True, False, False, False]
    many = [on(each, name) for each in recipes(record, 5) for name in "ab"]
    assert matrix(groups_of(many)).corner == "Recipe"


def test_a_cell_holds_every_figure_and_what_does_not_fit_sorts_last(record):
    verdicts = (("a", "fits"), ("b", "does-not-fit"))
    records = [billed(on(each, name, verdict=verdict)) for each in recipes(record, 2) for name, verdict in verdicts]
    found = matrix(groups_of(records))
    assert found.figures == ("step time", "memory needed", "largest batch", "whole run", "rent of the run")
    for fits, out in (line.cells for line in found.lines):
        assert fits.texts[:2] == out.texts[:2] == ("100 ms", "13.8 GiB")
        assert fits.values[1] == out.values[1] == record.memory.required_bytes
        assert all(out.values[at] > 1e6 * fits.values[at] for at in (0, 3, 4))
    assert len(matrix(groups_of([on(each, name) for each in recipes(record, 2) for name in "ab"])).figures) == 3


def test_one_recipe_or_one_machine_is_no_matrix(record):
    assert matrix(groups_of([on(record, "a"), on(record, "b")])) is None
    assert matrix(groups_of(recipes(record, 3))) is None


def test_recipes_on_one_machine_are_one_table(record):
    found = build_report(recipes(record, 3))
    assert found.flat.names == (("recipe 0", ""), ("recipe 1", ""), ("recipe 2", ""))
    page = render_html(recipes(record, 3))
    assert page.count('class="cards predictions"') == 1
    assert 'id="predictions"' not in page
    assert build_report([on(record, "a"), on(record, "b")]).flat is None


def test_recipes_of_one_title_are_told_apart_by_their_settings(record):
    sizes = [record.model_copy(update={"recipe": record.recipe.with_options(batch_size=size)}) for size in (8, 16)]
    found = matrix(groups_of([on(each, name) for each in sizes for name in "ab"]))
    assert [line.below for line in found.lines] == ["batch 8", "batch 16"]
    assert build_report(sizes).flat.names == ((sizes[0].recipe.title, "batch 8"), (sizes[0].recipe.title, "batch 16"))


def billed(record):
    """The record with the cost of a run in as many digits as predictions have."""
    step_s = record.time.step_seconds
    seconds, joules, usd = (8e6 * factor * step_s for factor in (1.0, 400.0, 1e-4))
    between = {
        f"{name}_interval": (0.8 * value, 1.1 * value)
        for name, value in (("seconds", seconds), ("joules", joules), ("rent_usd", usd))
    }
    text = "1,000,000 steps of 256 samples"
    bill = Bill(
        budget=text,
        source=text,
        samples=256 * 10**6,
        steps=8 * 10**6,
        seconds=seconds,
        joules=joules,
        rent_usd=usd,
        **between,
    )
    return record.model_copy(update={"bill": bill})


def test_a_large_report_stays_below_two_megabytes_and_a_usual_one_below_400_kb(record, explained):
    records = [
        billed(on(each, f"a machine with a name of its own, {number}", step_s=0.1 + number / 997))
        for each in recipes(record, 12)
        for number in range(60)
    ]
    page = render_html(records)
    assert len(page.encode()) < 2_000_000
    assert page.count("<tr>") > 720
    assert len(re.findall('class="bar"', page)) < 60
    assert len(render_html([explained(records[0])]).encode()) < 400_000
