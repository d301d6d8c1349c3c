import base64
import hashlib
import html
import itertools
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sslbench.bench.record import Record
from sslbench.reports.html import render_html
from sslbench.reports.words import plain

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Elements as a browser nests them; fails on a tag that does not close."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text, self.raw = [], [], [], {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), names
        self.elements.append((tag, dict(attributes), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):  # in SVG
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open and self.open[-1] == tag, (tag, self.open)
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in {"script", "style"}:
            self.raw[self.elements[-1][1].get("id", self.open[-1])] = data
        else:
            self.text.append(data)

    def find(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]


def test_the_page_is_well_formed_and_accessible(samples, sweep, on_cards, explained):
    text = render_html([*samples, *sweep, on_cards, explained(samples[1])])
    page = Page(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    headings = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
    assert len(page.find("table")) == len(page.find("caption"))
    assert page.find("svg")
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in page.find("svg"))
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for attributes in page.find("section")} <= set(ids)


def test_nothing_is_fetched_and_no_script_but_the_pages_own_runs(samples):
    page = Page(render_html(samples))
    (policy,) = [meta["content"] for meta in page.find("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    own = base64.b64encode(hashlib.sha256(page.raw["script"].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{own}'"
    assert [script.get("type") for script in page.find("script")] == ["application/json", None]
    assert [link["href"] for link in page.find("link")] == ["data:,"]
    assert not page.find("img")
    assert all(link["href"].startswith("https://") for link in page.find("a"))
    assert "url(" not in page.raw["style"]
    assert "@import" not in page.raw["style"]
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]


def test_it_says_what_was_predicted_and_what_was_measured(samples):
    shown = " ".join(" ".join(Page(render_html(samples)).text).split())
    for text in (
        "2 fit, 1 is tight, 1 does not fit",
        "13.8 of 24.0 GiB 13.2 to 14.4 GiB",
        "fits: 13.8 of 24.0 GiB, 90 % interval 13.2 to 14.4, P(fits) > 99 %",
        "186 ms 149 to 242 ms",
        "median of 30 steps",
        "no energy counter on this machine",
        "Predicted against measured",
        "sslbench fit bert-base-mlm --machine rtx-4090 --batch-size 32",
        "NVIDIA Ada GPU Architecture whitepaper",
        "Other processes used 38 % of the processor",
        "transformers 5.23.0",
    ):
        assert text in shown
    for heading in ("Does it fit? predicted", "Memory at the peak predicted", "Measurements measured"):
        assert heading in shown


@pytest.mark.parametrize(
    ("stem", "words"),
    [("prediction-fits", "✓ Fits"), ("prediction-tight", "≈ Tight"), ("prediction-does-not-fit", "✕ Does not fit")],
)
def test_one_prediction_leads_with_its_verdict_in_words_and_symbol(sample, stem, words):
    assert words in " ".join(" ".join(Page(render_html([sample(stem)])).text).split())


def test_the_embedded_records_are_the_records(samples):
    tables = json.loads(Page(render_html(samples)).raw["records"])
    assert [Record.model_validate(table) for table in tables] == samples


def test_hostile_texts_come_out_as_text(hostile):
    text, records = hostile
    rendered = render_html(records, title=text)
    page = Page(rendered)  # every element is one of the template's, so none came from the text
    assert plain(text, 100) in "".join(page.text)
    assert [Record.model_construct(**table).warnings for table in json.loads(page.raw["records"])] == [
        record.warnings for record in records
    ]
    assert not re.search("[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]", rendered)
    assert len(page.elements) == len(Page(render_html(records, title="x")).elements)
    assert set(re.findall("<[^>]{0,99}", page.raw["records"])) == set()


def test_a_title_can_be_given(sample):
    page = render_html([sample("prediction-fits")], title="a < b & c")
    assert f"<title>{html.escape('a < b & c')}</title>" in page


def test_what_is_not_there_is_not_shown(sample):
    prediction = render_html([sample("prediction-fits")])
    measurement = render_html([sample("measurement-cpu")])
    assert 'id="measurements"' not in prediction
    assert 'id="beside"' not in prediction
    assert 'id="predictions"' not in measurement
    assert Page(render_html([])).find("h1")


def test_a_bare_record_renders(sample):
    for stem in ("prediction-fits", "measurement-cpu"):
        full = sample(stem)
        bare = Record(**{name: getattr(full, name) for name in full.model_fields_set & BARE})
        assert "not known" in render_html([bare])


BARE = {"kind", "created", "backend", "recipe", "machine", "environment", "command"}


def test_the_recipe_of_the_docs_finds_the_records(samples):
    docs = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    pattern = re.search(r'r\'(id="records">.*?)\'', docs)[1]
    tables = json.loads(re.search(pattern, render_html(samples), re.DOTALL)[1])
    assert len(tables) == len(samples)


def test_rendering_needs_no_torch():
    code = (
        "import sys, sslbench.reports.html, sslbench.reports.markdown, sslbench.reports.terminal;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
