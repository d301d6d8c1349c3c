"""axe-core finds nothing serious: https://github.com/dequelabs/axe-core, rules of WCAG 2.1, levels A and AA."""

import pytest

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")


@pytest.fixture(scope="session")
def axe():
    """The violations that axe-core finds in a page: rule, and the elements that break it."""
    module = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    checker = module.Axe()

    def check(page, *rules):
        options = {"runOnly": rules or RULES, "resultTypes": ["violations"]}
        found = checker.run(page, options=options).response["violations"]
        return {
            rule["id"]: [(node["target"], node["failureSummary"]) for node in rule["nodes"]]
            for rule in found
            if rule["impact"] in {"serious", "critical"}
        }

    return check


def test_axe_is_at_work(open_page, axe):
    page = open_page("<!DOCTYPE html><html lang=en><title>t</title><p style='color:#ccc;background:#fff'>pale</p>")
    assert axe(page).keys() == {"color-contrast"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report", "gate", "probe", "index"])
def test_our_pages_are_accessible(open_page, axe, pages, name):
    page = open_page(pages[name])
    page.locator("details").evaluate_all("all => all.forEach(each => each.open = true)")
    assert axe(page) == {}
    page.emulate_media(color_scheme="dark")
    assert axe(page, "color-contrast") == {}
