import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.bench.comparison import Comparison, MetricChange, StepChange
from sslbench.reports.contents import read_page, render_page
from sslbench.reports.html import render_html
from sslbench.reports.page_check import check_page
from sslbench.reports.pieces import pieces_of


@pytest.fixture(scope="module")
def page(sample):
    return render_html(
        [sample("prediction-fits"), sample("prediction-tight"), sample("profile-cpu")], title="A & B <c>"
    )


@pytest.fixture(scope="module")
def edit(sample):
    """A page, and the same with one digit of one of its texts changed; the text before and after."""
    page = render_html([sample("profile-cpu")])
    found = [piece.value for piece in pieces_of(page) if piece.kind == "text"]
    texts = [text for text in found if re.search(r"\d", text) and page.count(f">{text}<") == 1]

    def edited(which, where):
        text = texts[which % len(texts)]
        digits = [at for at, letter in enumerate(text) if letter in "0123456789"]
        at = digits[where % len(digits)]
        changed = f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}"
        return page, page.replace(f">{text}<", f">{changed}<"), text, changed

    return edited


def again(page):
    return render_page(read_page(page, where="page"))


def test_a_page_is_what_its_records_give(page):
    assert again(page) == page
    assert check_page(page, again(page)).outcome == "holds"
    assert check_page("\ufeff" + page.replace("\n", "\r\n"), page).outcome == "holds"


def test_a_page_of_hostile_texts_is_read_back_and_gives_the_same_page(hostile):
    text, every = hostile
    poisoned = [every[0], every[-2], every[-1]]
    # A machine's name is a file's name; no other is read.
    named = [record.machine.model_copy(update={"name": "card"}) for record in poisoned]
    records = [record.model_copy(update={"machine": each}) for record, each in zip(poisoned, named, strict=True)]
    page = render_html(records, comparisons=[compared(text)], title=text)
    assert again(page) == page


def compared(text):
    metric = MetricChange(name="time.step_seconds", unit="seconds", base=1.0, new=2.0, outcome="pass", reason=text)
    step = StepChange(name=text, where=text, layer="timed", metrics=(metric,))
    return Comparison(base=text, new=text, steps=(step,))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_every_edited_figure_is_found_and_named(edit, which, where):
    page, edited, before, after = edit(which, where)
    check = check_page(edited, page)
    assert check.outcome == "differs"
    (found,) = check.differences
    assert after.startswith(found.says.removesuffix("…"))
    assert before.startswith(found.expected.removesuffix("…"))


def test_the_place_of_a_text_is_its_headings_row_and_column():
    page = """<h1>Report</h1><h2>Figures</h2><h3>BERT</h3>
    <table><thead><tr><th>Machine</th><th>Step <b>time</b></th></tr></thead>
    <tbody><tr><th><bdi>H200</bdi></th><td>3 ms</td></tr></tbody></table>
    <h2>Machines</h2><svg><text>7</text></svg>"""
    places = {piece.value: piece.place for piece in pieces_of(page) if piece.kind == "text"}
    assert places["3 ms"] == "Figures > BERT > H200 > Step time"
    assert places["7"] == "Machines > picture"


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("</style>", "section{display:none}</style>", "style"),
        ('"use strict";', '"use strict";document.title="x";', "script"),
        ("<main>", "<main><p>fits everywhere</p>", "fits everywhere"),
        ("<main>", "<main hidden>", "hidden of <main>"),
        ("<main>", "<main><!-- note -->", "comment"),
    ],
)
def test_what_is_added_is_found(page, old, new, kind):
    check = check_page(page.replace(old, new, 1), page)
    assert check.outcome == "differs"
    assert any(kind in f"{found.place} {found.says}" for found in check.differences)
    assert len(check.differences) <= 4


def test_spacing_alone_is_told_from_figures(page):
    check = check_page(page.replace("<main>", "<main>\n\n"), page)
    assert (check.outcome, check.differences) == ("not checked", ())


def test_of_another_version_figures_are_looked_for_wherever_they_stand(page):
    other = re.sub(r'content="sslbench [^"]*"', 'content="sslbench 0.0.1"', page).replace(
        "<main>", "<main><p>Words</p>"
    )
    check = check_page(other, page)
    assert check.outcome == "not checked"
    assert "0.0.1" in check.reasons[0]
    check = check_page(other.replace("Words", "3 times faster"), page)
    assert check.outcome == "differs"
    assert [found.says for found in check.differences] == ["3 times faster"]


@given(st.text(alphabet="<>/=\"'& abcdiv\n!-[]?", max_size=60))
def test_any_markup_has_pieces(text):
    assert all(piece.place for piece in pieces_of(text))
