"""The matrix of recipes and machines shows the figure that is chosen, and sorts by it."""

import pytest

from sslbench.reports.html import render_html

TEXTS = "cells => cells.map(cell => cell.querySelector('span').textContent)"


@pytest.fixture
def page(open_page, sample):
    """Two recipes on two machines; the second machine is slower, with more memory."""
    record = sample("prediction-fits")
    made = []
    for title in ("one", "two"):
        recipe = record.recipe.model_copy(update={"title": title})
        for name, step_s in (("a", 0.1), ("b", 0.2)):
            machine = record.machine.model_copy(update={"name": name, "title": name})
            time = record.time.model_copy(update={"step_seconds": step_s, "samples_per_second": None})
            most = {"max_batch_size": round(10 * step_s)}
            made.append(record.model_copy(update={"recipe": recipe, "machine": machine, "time": time, **most}))
    return open_page(render_html(made))


def test_a_choice_changes_every_cell_and_what_is_underlined(page):
    cells = page.locator("table.matrix td")
    assert cells.evaluate_all(TEXTS) == ["100 ms", "200 ms"] * 2
    assert page.locator("td .leads").all_inner_texts() == ["100 ms"] * 2
    page.get_by_label("Show").select_option("largest batch")
    assert cells.evaluate_all(TEXTS) == ["1", "2"] * 2
    assert page.locator("td .leads").count() == 0
    assert page.locator("[data-figure]").inner_text() == "largest batch"


def test_columns_sort_by_the_figure_that_is_shown(page):
    heads = page.locator("table.matrix button.sort")
    heads.nth(1).click()
    assert page.locator("table.matrix th[aria-sort]").count() == 1
    page.get_by_label("Show").select_option("largest batch")
    assert page.locator("table.matrix th[aria-sort]").count() == 0
    values = page.locator("table.matrix td").evaluate_all("cells => cells.map(cell => cell.dataset.value)")
    assert values == ["1", "2"] * 2
