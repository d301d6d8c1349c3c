"""What the fixture watches for is seen, and our pages do none of it."""

from sslbench.reports.html import render_html

FAULTY = {
    "script failed": "<script>missing()</script>",
    "console": "<script>console.error('x')</script>",
    "request: http:": "<img src='http://127.0.0.1:9/x.png' alt=''>",
    "request: file:": "<link rel=stylesheet href='other.css'>",
    "Security Policy": "<meta http-equiv='Content-Security-Policy' content=\"style-src 'none'\"><p style='color:red'>x",
}


def test_a_faulty_page_is_noticed(watched):
    _, faults = watched("<!DOCTYPE html><title>t</title>" + "".join(FAULTY.values()))
    assert [kind for kind in FAULTY if not any(kind in fault for fault in faults)] == []


def test_the_report_loads_clean(open_page, samples):
    page = open_page(render_html(samples))
    assert page.title() == page.locator("h1").inner_text()
