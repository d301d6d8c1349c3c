"""Tables sort by any column, with the mouse and with the keyboard."""

import pytest

VALUES = "(rows, at) => rows.map(row => row.cells[at]).map(cell => cell.dataset.value ?? cell.textContent.trim())"


@pytest.fixture
def table(open_page, whole_report):
    """The first table of a report that sorts."""
    page = open_page(whole_report)
    return page.locator("table[data-sortable]", has=page.locator("button.sort")).first


def numbers(texts):
    """The numbers of a column that has only such; what is empty sorts last either way."""
    try:
        return [float(text) for text in texts if text]
    except ValueError:
        return None


def test_a_click_sorts_up_and_another_one_down(table):
    buttons, rows = table.locator("button.sort"), table.locator("tbody tr")
    compared = 0
    for at in range(buttons.count()):
        buttons.nth(at).click()
        up = rows.evaluate_all(VALUES, at)
        buttons.nth(at).click()
        down = rows.evaluate_all(VALUES, at)
        assert sorted(up) == sorted(down)
        if values := numbers(up):
            assert values == sorted(values)
            assert numbers(down) == sorted(values, reverse=True)
            compared += 1
    assert compared, "no column of numbers"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_sorts_and_one_column_says_how(table, key):
    button = table.locator("button.sort").first
    for order in ("ascending", "descending"):
        button.press(key)
        heads = table.locator("th[aria-sort]")
        assert heads.count() == 1
        assert heads.first.get_attribute("aria-sort") == order
