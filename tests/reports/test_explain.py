"""`fit --explain` as text and as Markdown, from records alone."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sslbench.bench.explanation import Timeline
from sslbench.reports.explain_text import explanations_markdown, print_explanations
from sslbench.reports.timeline import CAPACITY, EMPTY, HEIGHT, LAYERS, chart

GIB = 2**30


def shown(records, *, encoding="utf-8", width=80):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_explanations(records, Console(file=file, width=width))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_the_text_names_what_is_alive_where_it_was_made_and_what_it_rests_on(explained, sample):
    text = shown([explained(sample("prediction-fits"))])
    assert "▼ peak 7.00 GiB in forward" in text
    assert "└forward" in text
    assert "peaks: forward 7.00 GiB, backward 5.00 GiB" in text
    assert "19.0 GiB are left for tensors on this machine, 2.71 times the peak" in text
    assert "Alive at the peak 7.00 GiB in 13 storages" in text
    assert "12 activation storages, mm at aten.mm.default:3" in text
    assert "100 ms 50 % arithmetic 250 FLOP/B 100 TFLOP/s 12 x mm" in " ".join(text.split())
    assert "matrix product traffic 2" in text
    assert max(map(len, text.splitlines())) <= 80


def test_an_ascii_terminal_gets_ascii(explained, sample):
    assert "7.00 us" in shown([explained(sample("prediction-fits"))], encoding="ascii")


def test_records_that_are_not_explained_add_nothing(samples):
    assert shown(samples) == ""
    assert explanations_markdown(samples) == ""


def test_several_machines_are_told_apart(explained, sample):
    text = shown([explained(sample("prediction-fits")), explained(sample("prediction-tight"))])
    assert text.count("Alive at the peak") == 2
    assert all(sample(stem).machine.title in text for stem in ("prediction-fits", "prediction-tight"))


def test_markdown_has_the_chart_and_the_tables(explained, sample):
    text = explanations_markdown([explained(sample("prediction-fits"))])
    assert "```text\n" in text
    assert "| 6.00 GiB | 86 % | 12 activation storages |" in text
    assert "| 100 ms | 50 % | arithmetic | 250 FLOP/B | 100 TFLOP/s | 12 x | mm |" in text


def test_hostile_texts_stay_in_their_cell(explained, hostile, sample):
    text, _ = hostile
    record = explained(sample("prediction-fits"), text)
    rendered = explanations_markdown([record])
    cells = {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in rendered.splitlines() if line.startswith("|")}
    assert cells == {4, 5, 7}
    assert set(re.findall(r"(?<!\\)<[^>]*>", rendered)) == {"<details>", "<summary>", "</summary>", "</details>"}
    assert not re.search(r"(?<!\\)\]\(", rendered)
    for output in (rendered, shown([record])):
        assert "\x1b" not in output
        assert "\u202e" not in output


def heights(drawn):
    """Filled cells of each column."""
    return [
        sum(cell is not EMPTY for cell in column) for column in zip(*(cells for _, cells in drawn.rows), strict=True)
    ]


def test_the_charts_heights_are_bytes(timeline):
    drawn = chart(timeline, None, 8)
    assert heights(drawn) == [2, 2, 12, 12, 9, 9, 3, 3]
    fifth = [cells[4].label for _, cells in reversed(drawn.rows)]
    assert fifth == [LAYERS[place].label for place in (0, 0, 1, 2, 2, 2, 2, 3, 3)] + [""] * 3
    assert drawn.phases == (("forward", 0), ("backward", 3), ("optimizer", 6))


@pytest.mark.parametrize(("room", "drawn"), [(8, True), (5, True), (30, False), (-1, False), (None, False)])
def test_the_room_is_drawn_where_it_is_near(timeline, room, drawn):
    rows = chart(timeline, None if room is None else room * GIB, 8).rows
    assert any(cell is CAPACITY for _, cells in rows for cell in cells) is drawn
    assert len(rows) == HEIGHT


@given(st.from_type(Timeline), st.none() | st.floats(-1, 1e13))
def test_any_record_can_be_drawn(explained, sample, timeline, room):
    record = explained(sample("prediction-fits"))
    odd = record.model_copy(update={"explain": record.explain.model_copy(update={"timeline": timeline})})
    assert "Constants" in shown([odd])
    drawn = chart(timeline, room, 20)
    assert drawn is None or all(len(cells) == 20 for _, cells in drawn.rows)
