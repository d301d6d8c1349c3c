import html
import os
import re
from urllib.parse import unquote_to_bytes

import pytest

from sslbench.bench.errors import RecordError
from sslbench.reports.html import render_html
from sslbench.reports.index_page import index_page, is_report

NAMES = ["plain.html", 'sub/"><img src=x onerror=alert(1)>.html', "sub/javascript:alert(1).htm", "a#b?c%20d&amp;.html"]


@pytest.fixture
def folder(tmp_path, sample):
    pages = [render_html([sample(stem)]) for stem in ("prediction-fits", "prediction-tight", "profile-cpu")]
    (tmp_path / "sub").mkdir()
    for name, page in zip(NAMES, [*pages, pages[0]], strict=True):
        (tmp_path / name).write_text(page, encoding="utf-8")
    return tmp_path


def links(page):
    return [html.unescape(link) for link in re.findall(r'<a href="([^"]*)"', page)]


def test_every_report_has_a_link_that_leads_to_it(folder):
    page, left = index_page(folder, folder / "index.html")
    assert left == []
    targets = [os.fsdecode(unquote_to_bytes(link)) for link in links(page)]
    assert sorted(targets) == sorted(NAMES)
    assert all(re.fullmatch(r"[\w./%~-]+", link) for link in links(page))
    assert "<img" not in page


def test_links_are_relative_to_where_the_index_lies(folder):
    (folder / "pages").mkdir()
    page, _ = index_page(folder, folder / "pages" / "index.html")
    assert all((folder / "pages" / os.fsdecode(unquote_to_bytes(link))).is_file() for link in links(page))


def test_rows_say_what_a_report_holds_the_newest_first(folder):
    page, _ = index_page(folder, folder / "index.html", title="Lab")
    assert "<h1><bdi>Lab</bdi></h1>" in page
    assert "4 reports" in page
    days = re.findall(r'<time datetime="([\d-]+)">', page)
    assert len(days) == len(NAMES)
    assert days == sorted(days, reverse=True)
    assert {"fits", "tight"} <= set(re.findall(r'class="verdict ([\w-]+)"', page))
    assert "1 measurement" in page


def test_what_is_no_report_is_left_out_with_its_reason(folder):
    (folder / "broken.html").write_text("<p>half", encoding="utf-8")
    (folder / "index.html").write_text("<p>an earlier index", encoding="utf-8")
    (folder / "data.json").write_text("{}", encoding="utf-8")
    (folder / "bad\u202ename.html").write_text("<p>", encoding="utf-8")
    page, left = index_page(folder, folder / "index.html")
    assert len(links(page)) == len(NAMES)
    assert sorted(line.partition(": ")[2].partition(":")[0] for line in left) == ["is no report of sslbench"] * 2
    assert not any("\u202e" in line for line in left)


def test_a_folder_without_reports_says_so(tmp_path):
    with pytest.raises(RecordError, match=r"holds no report of sslbench: it has no \.html file"):
        index_page(tmp_path, tmp_path / "index.html")


def test_a_report_is_known_as_one(folder):
    assert is_report(folder / "plain.html")
    assert not is_report(folder / "missing.html")
    assert not is_report(folder / "sub")
