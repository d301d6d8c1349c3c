"""Pages on a phone, on paper, and without JavaScript."""

import pytest

PHONE = 390
WIDTHS = (320, PHONE, 800, 1200)

OVERFLOWING = """
() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  const scrolls = each => each && (getComputedStyle(each).overflowX !== "visible" || scrolls(each.parentElement));
  return [...document.body.querySelectorAll("*")]
    .filter(each => each.getBoundingClientRect().right > wide + 1 && !scrolls(each.parentElement))
    .map(each => `${each.tagName} ${each.textContent.trim().slice(0, 40)}`);
}
"""
"""What reaches beyond the right edge of a page that scrolls sideways."""


@pytest.mark.parametrize("name", ["report", "gate", "probe", "index"])
def test_no_page_scrolls_sideways(open_page, pages, name):
    page = open_page(pages[name])
    for opened in ("false", "true"):
        page.locator("details").evaluate_all(f"all => all.forEach(each => each.open = {opened})")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(OVERFLOWING) == [], width


def test_without_javascript_the_figures_are_there(open_page, whole_report):
    with_scripts = open_page(whole_report).locator("main").inner_text()
    without = open_page(whole_report, scripts=False).locator("main").inner_text()
    for word in ("fits", "does not fit", "GiB", "90 % interval"):
        assert word in without
    assert set(without.split()) <= set(with_scripts.split())


def test_on_paper_nothing_is_folded_or_hidden(open_page, whole_report):
    """What is folded on the screen is printed, but for what stands beside it anyway."""
    page = open_page(whole_report)
    page.emulate_media(media="print")
    hidden = page.locator("main h2, main h3, main svg, main .hero").evaluate_all(
        "all => all.filter(each => !each.checkVisibility()).map(each => each.textContent.trim().slice(0, 60))"
    )
    assert hidden == []
