"""Pictures answer to the pointer."""

import pytest


@pytest.mark.parametrize("width", [390, 1200])
def test_what_an_element_is_called_stands_beside_the_pointer(open_page, whole_report, width):
    page = open_page(whole_report, width=width)
    column = page.locator(".timeline rect.hover").nth(1)
    title = column.locator("title").text_content()
    column.scroll_into_view_if_needed()
    page.wait_for_timeout(50)  # scrolling hides the words
    column.hover()
    words = page.locator(".hover-words")
    assert words.inner_text() == title
    box = words.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    page.mouse.move(0, 0)
    assert not words.is_visible()
    assert column.locator("title").text_content() == title
