import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import RecordError
from sslbench.reports.embedded import SHARED, embed, extract
from sslbench.reports.html import render_html

ODD = ["</script>", "<!--<script>", "\u2028", "]]>", "\\", "\x00", "'\"`"]
TEXT = st.text(min_size=1, max_size=20) | st.sampled_from(ODD)


def page_of(table):
    return f'<script type="application/json" id="records">{json.dumps(table)}</script>'


def test_a_report_holds_its_records_equal(samples, sweep, on_cards, explained):
    records = [*samples, *sweep, on_cards, explained(samples[1]), explained(samples[2])]
    page = render_html(records)
    assert extract(page) == records
    assert [record.model_dump() for record in extract(page)] == [record.model_dump() for record in records]


def test_what_records_have_in_common_is_kept_once(sample, explained):
    record = explained(sample("prediction-fits"))
    other = record.model_copy(update={"max_batch_size": 3})
    kept = embed([record, other, record])
    lists = {name: len(values) for name, values in kept.items() if name not in {"schema", "records"}}
    assert lists.keys() <= SHARED.keys()
    assert lists.keys() >= {"machines", "environments", "recipes", "commands", "timelines", "peaks"}
    assert set(lists.values()) == {1}
    assert kept["records"][1]["machine"] == 0
    assert len(json.dumps(kept)) < 2 * len(record.model_dump_json())


@given(text=TEXT, number=st.floats(allow_nan=False, allow_infinity=False), steps=st.lists(st.floats(1e-9, 1e9)))
def test_any_text_and_number_comes_back(samples, text, number, steps):
    record = samples[0]
    recipe = record.recipe.model_copy(update={"name": text, "options": {text: text, "x": number}})
    machine = record.machine.model_copy(update={"title": text, "notes": text})
    time = record.time.model_copy(update={"samples_seconds": steps})
    changed = {"recipe": recipe, "machine": machine, "time": time, "command": [text], "warnings": [text]}
    records = [record.model_copy(update=changed), record]
    assert extract(render_html(records, title=text)) == records


def test_hostile_records_come_back(hostile):
    text, records = hostile
    profile = {"name": "any"}  # a profile's name is checked where it is read, and where records are
    records = [record.model_copy(update={"machine": record.machine.model_copy(update=profile)}) for record in records]
    assert extract(render_html(records, title=text)) == records


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ("<p>hello</p>", "is no report of sslbench"),
        (page_of({}) * 2, "has 2 elements"),
        (page_of({})[:-20], "is no report"),
        (page_of({}).replace("{", "{{"), "are not JSON"),
        (page_of([]), "of schema None"),
        (page_of({"schema": "sslbench.report/9"}), "reads 'sslbench.report/1'"),
        (page_of({"schema": "sslbench.report/1"}), "no list `records`"),
        (page_of({"schema": "sslbench.report/1", "records": [3]}), "x.html record 1: is not a record"),
        (page_of({"schema": "sslbench.report/1", "records": [{"machine": 0}]}), "record 1: machine holds 0"),
        (page_of({"schema": "sslbench.report/1", "records": [{}]}), "record 1: "),
        (page_of({"schema": "sslbench.report/1", "records": [{"explain": 3}]}), "record 1: "),
    ],
)
def test_a_damaged_page_is_refused_in_one_line(page, problem):
    with pytest.raises(RecordError) as caught:
        extract(page, where="x.html")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@given(place=st.integers() | st.booleans() | st.none() | st.text() | st.lists(st.integers()))
def test_a_place_out_of_the_lists_is_refused(samples, place):
    kept = embed(samples[:1])
    kept["records"][0]["machine"] = place
    if type(place) is int and place == 0:
        assert extract(page_of(kept)) == samples[:1]
    else:
        with pytest.raises(RecordError, match="no place"):
            extract(page_of(kept))


def test_an_edited_figure_comes_back_as_edited(samples):
    page = render_html(samples[:1])
    edited = re.sub(r'"required_bytes":\d+', '"required_bytes":5', page)
    assert extract(edited)[0].memory.required_bytes == 5
