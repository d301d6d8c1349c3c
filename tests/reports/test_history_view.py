from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.cli import cli
from sslbench.bench.comparison import Cause, Comparison, MetricChange, StepChange
from sslbench.bench.history import Change, History, StepHistory, Trend
from sslbench.bench.record import dump_records
from sslbench.reports.contents import read_page, render_page
from sslbench.reports.history_view import history_view
from sslbench.reports.html import render_html

SIZE = 400_000
HARMLESS, HOSTILE = "name", "</script><img src=x onerror=a()> \u2028\u202e\x1b[31m & ' \" {{ 7 }} `"


def history(values, changes=(), *, text="name", metrics=("time.step_seconds",)):
    count = len(values)
    trends = tuple(
        Trend(metric=metric, unit="seconds", values=tuple(values), changes=tuple(changes)) for metric in metrics
    )
    created = tuple(f"2026-01-{1 + at % 28:02d}T04:00:00+00:00" for at in range(count))
    step = StepHistory(
        name=text,
        where=text,
        records=count,
        numbers=tuple(range(count)),
        created=created,
        commits=tuple(f"{text[:4]}{at}" for at in range(count)),
        trends=trends,
    )
    return History(source=text, steps=(step,))


def corners(text):
    return [tuple(map(float, pair.split(","))) for pair in text.split()]


@given(st.lists(st.one_of(st.none(), st.floats(1e-4, 1e4)), min_size=1, max_size=80).filter(any))
def test_every_known_value_has_a_corner_within_the_picture(values):
    (step,) = history_view(history(values)).steps
    (picture,) = step.pictures
    rows = [int(row) for row in picture.places.split()]
    assert rows == [row for row, value in enumerate(values) if value is not None]
    found = corners(picture.line)
    assert len(found) == len(rows)
    assert all(0 <= place <= 100 for corner in [*found, *corners(picture.levels)] for place in corner)
    assert [bool(cells[2]) for cells in step.rows] == [value is not None for value in values]


def test_levels_step_at_the_change_which_is_named_and_a_far_value_stands_at_the_edge():
    values = [0.030] * 10 + [0.033] * 11
    values[4] = 0.3
    change = Change(at=10, share=0.1, before=0.030, after=0.033)
    (step,) = history_view(history(values, [change])).steps
    (picture,) = step.pictures
    (mark,) = picture.marks
    assert (mark.words, mark.look) == ("+10.0 % (30.0 ms -> 33.0 ms)", "does-not-fit")
    assert mark.place == "at commit name10 (before: name9), 2026-01-11 04:00"
    assert mark.at == pytest.approx(9.5 / 20 * 100)
    (left, before), (edge, _), (_, after), _ = corners(picture.levels)
    assert (left, edge) == (0, mark.at)
    assert before == corners(picture.line)[0][1] > after == corners(picture.line)[-1][1]
    ((at, top, words),) = picture.beyond
    assert (at, top, words) == (20, 0, "300 ms")


def test_thousands_of_records_stay_small_and_are_read_back():
    random = np.random.default_rng(5)
    metrics = ("time.step_seconds", "memory.required_bytes", "energy.joules_per_step")
    whole = history((0.03 * random.lognormal(0, 0.01, 5000)).tolist(), metrics=metrics)
    page = render_html((), histories=[whole])
    assert len(page.encode()) < SIZE
    found = read_page(page, where="page")
    assert found.histories == (whole.thinned(),)
    assert render_page(found) == page


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, [name for name, _ in attributes]))


def compared(text):
    cause = Cause(text=text.replace("`", "'"), change=1.0, file=text)
    metric = MetricChange(
        name=text,
        unit="seconds",
        base=1.0,
        new=2.0,
        outcome="regression",
        allowed=0.05,
        interval=(0.9, 1.1),
        reason=text,
        causes=(cause,),
    )
    steps = (
        StepChange(name=text, where=text, layer="timed", metrics=(metric,), notes=(text,)),
        StepChange(name=text, where=text, layer="timed", refused=(text,)),
    )
    return Comparison(base=text, new=text, steps=steps, notes=(text,))


def test_hostile_texts_of_comparisons_and_histories_come_out_as_text():
    change = Change(at=2, share=0.1, before=1.0, after=1.1)
    pages = [
        render_html((), comparisons=[compared(text)], histories=[history([1.0, 1.0, 1.1, 1.1], [change], text=text)])
        for text in (HARMLESS, HOSTILE)
    ]
    assert Elements(pages[0]).found == Elements(pages[1]).found
    assert not {"\u202e", "\u2028", "\x1b"} & set(pages[1])
    found = read_page(pages[1], where="page")
    assert (found.comparisons[0], found.histories[0].source) == (compared(HOSTILE), HOSTILE)


def test_files_of_every_kind_make_one_report(tmp_path, samples):
    (tmp_path / "r.json").write_text(dump_records(samples[:1]))
    (tmp_path / "c.json").write_text(compared("x").model_dump_json(indent=2))
    (tmp_path / "h.json").write_text(history([1.0, 2.0]).model_dump_json(indent=2))
    out = tmp_path / "all.html"
    done = CliRunner().invoke(cli, ["report", *(str(tmp_path / f"{name}.json") for name in "rch"), "-o", str(out)])
    assert done.exit_code == 0, done.output
    page = Path(out).read_text(encoding="utf-8")
    head = page[: page.index("</header>")]
    assert '<a href="#gate-1">1 regression, 1 not compared of 2 steps</a>' in head
    assert '<a href="#history-1">No change in 1 series</a>' in head
    found = read_page(page, where="page")
    assert tuple(map(len, (found.records, found.comparisons, found.histories))) == (1, 1, 1)


def test_of_many_steps_those_that_did_not_change_are_folded():
    quiet = history([1.0] * 4).steps[0]
    loud = history([1.0, 1.0, 2.0, 2.0], [Change(at=2, share=1.0, before=1.0, after=2.0)]).steps[0]
    for steps, folded in (((quiet, loud), [False, False]), ((quiet, loud, quiet, quiet), [True, False, True, True])):
        view = history_view(History(source="s", steps=steps))
        assert [step.folded for step in view.steps] == folded
