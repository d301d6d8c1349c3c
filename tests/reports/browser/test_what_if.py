"""What if: the controls show what the grid holds; its texts are those of the table, which Python wrote."""

import pytest

from sslbench.reports.html import render_html
from sslbench.reports.what_if import what_ifs


@pytest.fixture(scope="module")
def records(sample, with_grid):
    """One recipe on two machines; the second lacks fp16."""
    first = with_grid(sample("prediction-fits"), unknown="at another batch: it fails")
    grid = first.what_if.model_copy(update={"settings": first.what_if.settings[:2]})
    machine = first.machine.model_copy(update={"name": "other", "title": 'An "other" <card>'})
    return [first, first.model_copy(update={"machine": machine, "what_if": grid})]


@pytest.fixture
def open_trial(open_page, records):
    """Opens the page; the choice is made as a person would, what is shown is read back."""

    def open_(fragment=""):
        page = open_page(render_html(records))
        if fragment:
            page.evaluate("hash => { location.hash = hash }", fragment)
            page.wait_for_timeout(50)
        return page

    return open_


def choose(page, *, machine=None, batch=None, precision=None, checkpointing=None):
    if machine is not None:
        page.get_by_role("combobox", name="Machine").select_option(index=machine)
    if batch is not None:
        page.get_by_role("slider", name="Batch").fill(str(batch))
    for name in filter(None, (precision, checkpointing)):
        page.get_by_role("radio", name=name, exact=True).check()


def shown(page):
    figures = page.locator("[data-figure]")
    return {
        figures.nth(place).get_attribute("data-figure"): figures.nth(place).locator("dd span").inner_text()
        for place in range(figures.count())
        if figures.nth(place).is_visible()
    }


@pytest.mark.slow
def test_every_choice_shows_its_cell(open_trial, records):
    page = open_trial()
    (view,) = what_ifs(records)
    for place, machine in enumerate(view.machines):
        for settings in machine.settings:
            for number, cell in enumerate(settings.cells):
                on = "on" if settings.checkpointing else "off"
                choose(page, machine=place, batch=number, precision=settings.precision, checkpointing=on)
                words = {
                    "memory": cell.memory,
                    "step": cell.step,
                    "rate": cell.rate,
                    "run": cell.run,
                    "rent": cell.rent,
                }
                assert shown(page) == {key: value for key, value in words.items() if value}
                status = page.get_by_role("status").inner_text()
                assert cell.verdict.word in status
                assert (cell.unknown or f"batch {cell.batch}, {settings.precision}") in status
                assert cell.change in status


def test_at_first_and_after_a_reset_it_shows_the_recipes_own(open_trial, records):
    page = open_trial()
    own = what_ifs(records).__next__().machines[0].settings[0].cells[1]
    assert shown(page)["step"] == own.step
    choose(page, batch=3, checkpointing="on")
    assert shown(page)["step"] != own.step
    page.get_by_role("button", name="Recipe's own").click()
    page.wait_for_timeout(50)
    assert shown(page)["step"] == own.step
    assert page.url.endswith("#what-if")


def test_a_choice_is_in_the_address_and_comes_back_from_it(open_trial):
    page = open_trial()
    choose(page, machine=1, batch=2, checkpointing="on")
    fragment = page.url.partition("#")[2]
    assert fragment == "what-if=1&machine=other&batch=64&precision=bf16&checkpointing=on"
    again = open_trial(fragment)
    assert shown(again) == shown(page)
    assert again.get_by_role("combobox", name="Machine").input_value() == "other"


def test_an_address_that_says_nothing_is_no_error(open_trial):
    page = open_trial()
    before = shown(page)
    for fragment in ("what-if=9&batch=64", "what-if=1&machine=nobody&batch=-3&precision=fp64", "%%%", "what-if=1"):
        page.evaluate("hash => { location.hash = hash }", fragment)
        page.wait_for_timeout(50)
        assert shown(page) == before


def test_a_precision_that_a_machine_lacks_cannot_be_chosen(open_trial):
    page = open_trial()
    choose(page, precision="fp16")
    choose(page, machine=1)
    assert page.get_by_role("radio", name="fp16").is_disabled()
    assert page.get_by_role("radio", name="bf16").is_checked()
    assert 'An "other" <card>' in page.get_by_role("status").inner_text()


def test_only_the_chosen_machines_picture_is_shown_but_all_of_them_without_a_script(open_trial, open_page, records):
    page = open_trial()
    assert [each.is_visible() for each in page.locator("article[data-machine]").all()] == [True, False]
    plain = open_page(render_html(records), scripts=False)
    assert [each.is_visible() for each in plain.locator("article[data-machine]").all()] == [True, True]
    assert not plain.get_by_role("slider").is_visible()
