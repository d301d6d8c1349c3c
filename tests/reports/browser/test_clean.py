"""What the fixture watches for is seen, and our pages do none of it."""

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


def test_our_pages_load_clean(open_page, pages):
    for html in pages.values():
        page = open_page(html)
        assert page.title()
        assert page.locator("h1").count() == 1


def test_the_policy_forbids_any_other_script(watched, whole_report):
    """A script that got into the page, or that an attribute holds, does not run."""
    smuggled = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\" alt=''>"
    page, faults = watched(whole_report.replace("</main>", f"{smuggled}</main>"))
    assert page.title() != "taken"
    assert sum("Content Security Policy" in fault for fault in faults) >= 2
