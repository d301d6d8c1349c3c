import base64
import hashlib
import html
import itertools
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sslbench.bench.billing import Bill
from sslbench.bench.record import Record
from sslbench.reports.embedded import extract
from sslbench.reports.html import render_html
from sslbench.reports.words import plain

SVG = {"svg", "g", "rect", "line", "circle", "path", "polyline", "polygon", "text", "title"}


class Page:
    """The elements of a page as browsers parse them; fails on any fault of its markup."""

    def __init__(self, text):
        parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
        self.root = parser.parse(text)
        nodes = [each for each in self.root.iter() if isinstance(each.tag, str)]
        self.elements = [(each.tag.rpartition("}")[2], dict(each.attrib)) for each in nodes]
        self.text = " ".join(" ".join(self._shown(self.root)).split())
        self.scripts = [each.text for each in self.root.iter("script")]

    def _shown(self, element):
        if element.tag not in {"script", "style"}:
            yield element.text or ""
            for child in element:
                yield from self._shown(child)
        yield element.tail or ""

    def find(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_is_well_formed_and_accessible(samples, sweep, on_cards, explained):
    text = render_html([*samples, *sweep, on_cards, explained(samples[1])])
    page = Page(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
    assert len(page.find("table")) == len(page.find("caption"))
    assert page.find("svg")
    assert all(svg.get("aria-label") for svg in page.find("svg") if svg.get("role") == "img")
    assert not list(unnamed_pictures(page.root))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for attributes in page.find("section")} <= set(ids)
    assert {link["href"][1:] for link in page.find("a") if link["href"].startswith("#")} <= set(ids)


def unnamed_pictures(element):
    """SVG that no part of the page around it names or hides."""
    if element.attrib.get("role") == "img" or element.attrib.get("aria-hidden") == "true":
        return
    if str(element.tag).endswith("}svg"):
        yield element.attrib
    for child in element:
        yield from unnamed_pictures(child)


def test_nothing_is_fetched_and_no_script_but_the_pages_own_runs(samples):
    page = Page(render_html(samples))
    (policy,) = [meta["content"] for meta in page.find("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    own = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{own}'"
    assert [script.get("type") for script in page.find("script")] == ["application/json", None]
    assert [link["href"] for link in page.find("link")] == ["data:,"]
    assert not page.find("img")
    assert all(link["href"].startswith(("https://", "#")) for link in page.find("a"))
    assert not re.search("url\\(|@import", page.root.find(".//style").text)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_it_says_what_was_predicted_and_what_was_measured(samples):
    shown = Page(render_html(samples)).text
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
    assert words in Page(render_html([sample(stem)])).text


def test_hostile_texts_come_out_as_text(hostile, harmless):
    text, records = hostile
    shows_as_text(text, records[-3:], harmless(3))  # a measurement on cards, a failure, an explained prediction


@settings(max_examples=10)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>&\"'/-!{}%#"), min_size=1, max_size=9)
)
def test_any_text_comes_out_as_text(text, poisoned, harmless):
    shows_as_text(text, poisoned(text)[-1:], harmless(1))


WORST = "</script></style></title><!--<script>'\"`&lt;{{7*7}}\u2028\u202e\u0000\x1b[31m]]>" + "long" * 50


def test_hostile_text_in_every_field_that_takes_text(samples, sweep, on_cards, explained, with_grid):
    predicted = with_grid(explained(next(record for record in samples if record.kind == "prediction")))
    bill = Bill(budget="any", source="any", samples=9, steps=3, seconds=1.0, rent_usd=1.0)
    records = [predicted.model_copy(update={"bill": bill}), sweep[-1], on_cards]
    worst, harmless = ([everywhere(record, text) for record in records] for text in (WORST, "harmless"))
    page = render_html(worst, title=WORST)
    shown, expected = Page(page), Page(render_html(harmless, title="harmless"))
    assert shape(shown) == shape(expected)
    assert drawn(shown) <= drawn(expected)
    assert extract(page) == worst


def everywhere(record, text):
    """The record with a text for every string, key or value, that may be any text."""
    table = record.model_dump(mode="json")
    for holder, key in list(texts(table)):
        kept, holder[key] = holder[key], text
        if not is_record(table):
            holder[key] = kept
    for holder in list(tables(table)):
        if holder and is_record(table):
            key = next(iter(holder))
            holder[text] = holder.pop(key)
            if not is_record(table):
                holder[key] = holder.pop(text)
    return Record.model_validate(table)


def tables(value):
    """Every object within a JSON value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from tables(each)


def texts(value):
    """Where each string within a JSON value is."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in places:
        if isinstance(each, str):
            yield value, key
        else:
            yield from texts(each)


def is_record(table):
    try:
        Record.model_validate(table)
    except ValidationError:
        return False
    return True


@pytest.fixture(scope="module")
def harmless(poisoned):
    """The page of the last few records, where no text is hostile."""
    return cache(lambda count: Page(render_html(poisoned("harmless")[-count:], title="harmless")))


def shape(page):
    """Tag and names of attributes of each element but those of pictures."""
    return [(tag, sorted(attributes)) for tag, attributes in page.elements if tag not in SVG]


def drawn(page):
    """Tags of pictures, each with a name of an attribute: names of points are drawn where they find room."""
    return {(tag, name) for tag, attributes in page.elements if tag in SVG for name in attributes}


def shows_as_text(text, records, harmless):
    """The page has the elements of the harmless one, none from the text, and nothing that hides or reorders."""
    rendered = render_html(records, title=text)
    page = Page(rendered)
    assert " ".join(plain(text, 100).split()) in page.text
    assert not re.search("[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069]", rendered)
    assert shape(page) == shape(harmless)
    assert drawn(page) <= drawn(harmless)
    assert "<" not in page.scripts[0]


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
    assert len(json.loads(re.search(pattern, render_html(samples), re.DOTALL)[1])["records"]) == len(samples)


def test_rendering_needs_no_torch():
    code = (
        "import sys, sslbench.reports.html, sslbench.reports.markdown, sslbench.reports.terminal;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
