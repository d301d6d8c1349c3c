"""Time against cost: which machines are worth their rent, and where they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.billing import Bill
from sslbench.bench.measured import Scaling
from sslbench.reports.front import best, fronts
from sslbench.reports.html import render_html
from sslbench.reports.labels import place_labels
from sslbench.reports.markdown import render_markdown

DAY = 86_400.0


@pytest.fixture(scope="session")
def offer(sample):
    """A prediction whose whole run takes so long and costs so much."""

    def made(name, days, usd, *, verdict="fits", spread=None):
        record = sample("prediction-fits")
        bill = Bill(
            budget="10 epochs",
            source="",
            samples=1000,
            steps=10,
            seconds=days * DAY,
            rent_usd=usd,
            seconds_interval=spread and (days * DAY / spread, days * DAY * spread),
            rent_usd_interval=spread and usd and (usd / spread, usd * spread),
        )
        machine = record.machine.model_copy(update={"name": name})
        return record.model_copy(update={"machine": machine, "bill": bill, "verdict": verdict, "plan": None})

    return made


def test_the_front_is_what_no_other_beats(offer):
    records = [offer("slow", 8, 300), offer("cheap", 10, 100), offer("fast", 1, 400), offer("middle", 3, 200)]
    (drawn,) = fronts(records)
    assert [each.name for each in drawn.best] == ["fast", "middle", "cheap"]
    assert [each.name for each in drawn.others] == ["slow"]
    assert drawn.summary == (
        "Fastest: fast, 24 h 00 min, 400 USD; cheapest: cheap, 10.0 days, 100 USD; "
        "3 of 4 machines have no rival that is faster and no dearer"
    )
    (x1, y1), (x2, y2), (x3, y3) = (each.at for each in drawn.best)
    assert drawn.stairs == f"M{x1} {y1}H{x2}V{y2}H{x3}V{y3}"
    assert x1 < x2 < x3
    assert y1 < y2 < y3
    page = render_html(records)
    assert "Time against cost" in page
    assert "<title>middle: 3.00 days, 200 USD; fits</title>" in page


def test_what_is_not_drawn_is_named_with_its_reason(offer):
    records = [
        offer("a", 1, 20),
        offer("b", 2, 10),
        offer("free", 2, None),
        offer("small", 1, 1, verdict="does-not-fit"),
        offer("old", 900, 30),
    ]
    (drawn,) = fronts(records)
    assert [each.name for each in (*drawn.best, *drawn.others)] == ["a", "b"]
    assert drawn.left_out == (
        "free: rent not known; small: does not fit; old: more than 4 times the slowest or dearest on the line"
    )


@pytest.mark.parametrize("usd", [None, 5.0])
def test_one_machine_is_no_choice(offer, usd):
    assert fronts([offer("a", 1, 5.0), offer("b", 1, usd)]) == []


def test_the_same_prediction_from_two_files_is_one_machine(offer):
    (drawn,) = fronts([offer("a", 1, 20), offer("b", 2, 10), offer("a", 1, 20)])
    assert [each.name for each in drawn.best] == ["a", "b"]
    assert "2 of 2 machines" in drawn.summary


def test_intervals_reach_from_the_low_to_the_high_ends(offer):
    (drawn,) = fronts([offer("a", 1, 20, spread=1.2), offer("b", 2, 10)])
    wide, narrow = drawn.best
    assert wide.span[0] < wide.at[0] < wide.span[2]
    assert wide.span[1] > wide.at[1] > wide.span[3]
    assert narrow.span is None


def test_a_machine_is_named_with_the_devices_that_its_figures_are_for(offer):
    scaling = Scaling(devices=8, strategy="ddp", communication="nccl", ranks=[])
    (drawn,) = fronts([offer("a", 1, 20).model_copy(update={"scaling": scaling}), offer("a", 2, 10)])
    assert [each.name for each in drawn.best] == ["a:8", "a"]


numbers = st.integers(1, 12).map(float)


@given(st.lists(st.tuples(numbers, numbers), max_size=30))
def test_the_front_is_that_of_the_definition(points):
    def beats(one, other):
        return one[0] <= other[0] and one[1] <= other[1] and one != other

    assert best(points) == {
        place for place, point in enumerate(points) if not any(beats(other, point) for other in points)
    }


amounts = st.floats(1e-3, 1e9)


@given(st.lists(st.tuples(amounts, amounts, st.sampled_from([None, 1.0, 3.0])), max_size=12))
def test_any_offers_stand_within_the_drawing(offer, rows):
    for drawn in fronts([offer(str(number), *row[:2], spread=row[2]) for number, row in enumerate(rows)]):
        spans = [place for each in drawn.best for place in each.span or ()]
        places = [*spans, *(place for each in (*drawn.best, *drawn.others) for place in each.at)]
        assert all(0 <= place <= 100 for place in places)


percent = st.floats(0, 100)


@given(st.lists(st.tuples(st.text("abc:", min_size=1, max_size=14), percent, percent), max_size=12))
def test_names_hide_neither_each_other_nor_a_point(rows):
    names, points = [name for name, _, _ in rows], [(x, y) for _, x, y in rows]
    for screen, width in (("wide", 700), ("narrow", 270)):
        boxes = []
        for label in place_labels(names, points):
            if label.screen == screen:
                x, y = label.at[0] * width / 100 + label.dx, label.at[1] * 3 + label.dy
                left = x - 7 * len(label.text) * {"start": 0, "middle": 0.5, "end": 1}[label.anchor]
                boxes.append((left, y - 11, left + 7 * len(label.text), y + 3))
        assert all(box[0] >= -1e-6 and box[2] <= width + 1e-6 for box in boxes)
        for number, one in enumerate(boxes):
            for other in boxes[:number]:
                apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                assert apart
            for x, y in points:
                assert not (one[0] < x * width / 100 < one[2] and one[1] < 3 * y < one[3])


def test_markdown_has_the_front_as_a_table(offer):
    text = render_markdown([offer("a", 1, 20, spread=1.2), offer("b", 2, 10), offer("c", 3, 30), offer("d", 1, None)])
    assert "| a | 24 h 00 min | 20 h 00 min to 28 h 48 min | 20.00 USD | 16.67 to 24.00 USD | fits |" in text
    assert "| c | 3.00 days" not in text.partition("### Time against cost")[2]
    assert "Not shown: d: rent not known." in text
