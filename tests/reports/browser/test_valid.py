"""Every page is HTML without a fault; no browser is needed, but these are the pages that browsers open."""

import html5lib
import pytest

from sslbench.reports.html import render_html
from sslbench.reports.report_view import MANY


def parse(page):
    """Fails on the first fault; elements that HTML does not close itself must be closed."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


def test_every_page_is_valid(pages):
    for page in pages.values():
        assert parse(page).find("body/main") is not None


@pytest.mark.parametrize("count", [0, 1, 2, MANY + 1])
def test_so_it_is_with_any_number_of_predictions(sample, count):
    record = sample("prediction-does-not-fit")
    recipes = [record.recipe.model_copy(update={"title": f"recipe {number}"}) for number in range(count)]
    page = render_html([record.model_copy(update={"recipe": recipe}) for recipe in recipes])
    assert len(parse(page).findall(".//*[@id='verdict']")) == bool(count)
