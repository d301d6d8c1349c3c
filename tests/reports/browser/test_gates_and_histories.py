"""Sections of comparisons and histories in a real browser."""

import pytest


def test_the_slider_and_the_pointer_read_records(open_page, gate_page):
    page = open_page(gate_page)
    slider, words = page.get_by_label("Read record"), page.locator(".reader output")
    assert words.inner_text() == "2026-03-01 19:00, commit c39, Step time 33.0 ms"
    slider.focus()
    page.keyboard.press("Home")
    assert words.inner_text() == "2026-03-01 00:00, commit c0, Step time 30.0 ms"
    box = page.locator(".trend svg").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 20.2 / 39, box["y"] + box["height"] / 2)
    assert words.inner_text() == "2026-03-01 10:00, commit c20, Step time 33.0 ms"
    assert slider.input_value() == "20"
    assert page.locator(".trend .cursor-dot").is_visible()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_sections_are_whole_on_a_phone(open_page, gate_page, scheme):
    page = open_page(gate_page, width=390, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_text("+10.0 % (30.0 ms -> 33.0 ms)", exact=True).is_visible()


@pytest.mark.slow
def test_all_is_readable_without_the_script(open_page, gate_page):
    page = open_page(gate_page, scripts=False)
    assert page.locator(".reader").count() == 0
    page.get_by_text("Records as a table").click()
    assert page.locator("table.records tbody tr").count() == 40
