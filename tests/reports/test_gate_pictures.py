import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.comparison import Cause, MetricChange, spread_of
from sslbench.reports.gate_pictures import cause_bars, change_axis, spread_picture

seconds = st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=60)
shares = st.floats(-0.9, 3)


def metric(**values):
    return MetricChange(**{"name": "time.step_seconds", "unit": "seconds", "base": 1.0, "outcome": "pass", **values})


@given(st.lists(seconds, min_size=1, max_size=3), st.lists(seconds, min_size=1, max_size=3))
def test_both_sides_stand_on_one_axis_within_the_picture(base, new):
    picture = spread_picture((spread_of(base), spread_of(new)))
    for side in picture.sides:
        places = [side.median_at, *side.dots, *(at for at, _ in side.runs), *(at for at, _ in picture.ticks)]
        corners = [float(number) for pair in side.area.split() for number in pair.split(",")]
        assert all(0 <= place <= 100 for place in [*places, *corners])
        if side.half_at:
            left, width = side.half_at
            assert left - 0.02 <= side.median_at <= left + width + 0.02
    medians = [np.median(np.concatenate(runs)) for runs in (base, new)]
    (before, after) = (side.median_at for side in picture.sides)
    assert after >= before if medians[1] >= medians[0] * 1.001 else True


def test_the_area_is_highest_where_most_steps_are_and_far_steps_are_told():
    steps = np.random.default_rng(2).normal(0.030, 0.0005, 400).tolist() + [0.2] * 5
    picture = spread_picture((spread_of([steps]), spread_of([[step * 1.1 for step in steps]])))
    for side in picture.sides:
        x, _ = min((tuple(map(float, pair.split(","))) for pair in side.area.split()), key=lambda corner: corner[1])
        assert x == pytest.approx(side.median_at, abs=5)
    assert picture.sides[0].beyond.endswith("beyond the axis, up to 200 ms")


@given(shares, st.tuples(shares, shares).map(sorted), st.one_of(st.none(), st.floats(0.001, 0.5)))
def test_a_change_stands_in_the_zone_of_its_size(share, interval, allowed):
    axis = change_axis(metric(new=1 + share, interval=tuple(interval), allowed=allowed))
    left, width = axis.interval_at
    ends = [*axis.interval_at, left + width, axis.at, axis.zero_at, *(at for at, _ in axis.ticks)]
    assert all(-0.01 <= end <= 100.01 for end in ends)
    if allowed is None:
        assert axis.zones == ()
        return
    assert [key for key, *_ in axis.zones] == ["better", "within", "worse"]
    assert sum(width for _, _, width, _ in axis.zones) == pytest.approx(100, abs=0.05)
    zone = "worse" if share > allowed else "better" if share < -allowed else "within"
    (left, width) = next((left, width) for key, left, width, _ in axis.zones if key == zone)
    assert left - 0.02 <= axis.at <= left + width + 0.02


def test_zones_of_what_is_better_when_higher_are_the_other_way_round():
    axis = change_axis(metric(new=0.8, interval=(-0.3, -0.1), allowed=0.05, better="higher"))
    assert [key for key, *_ in axis.zones] == ["worse", "within", "better"]
    assert axis.at < axis.zones[1][1]


@given(st.lists(st.integers(-(2**40), 2**40).filter(bool), min_size=1, max_size=8))
def test_causes_are_a_walk_from_nothing_to_the_whole_change(changes):
    causes = tuple(Cause(text="`x = y` at a.py:3 is new", change=change) for change in changes)
    found = cause_bars(metric(unit="bytes", base=2.0**50, new=2.0**50 + sum(changes), causes=causes))
    edge = found.zero_at
    for bar in found.bars[:-1]:
        assert (bar.left if bar.sign == "more" else bar.left + bar.width) == pytest.approx(edge, abs=0.03)
        edge += bar.width if bar.sign == "more" else -bar.width
        assert -0.1 <= bar.left <= bar.left + bar.width <= 100.1
    last = found.bars[-1]
    assert abs(edge - found.zero_at) == pytest.approx(last.width, abs=0.1)
    assert found.bars[0].words == ((True, "x = y"), (False, " at a.py:3 is new"))


def test_nothing_is_drawn_of_what_is_not_known():
    assert spread_picture(None) is None
    assert change_axis(metric(new=2.0)) is None
    assert cause_bars(metric(new=2.0)) is None


def test_the_table_behind_the_picture_has_the_quantiles_of_both_sides():
    picture = spread_picture((spread_of([[0.001 * step for step in range(1, 102)]]), spread_of([[0.5]])))
    assert picture.rows[0] == ("shortest", "1.00 ms", "500 ms")
    assert {name: base for name, base, _ in picture.rows} == {
        "shortest": "1.00 ms",
        "5 %": "6.00 ms",
        "25 %": "26.0 ms",
        "half": "51.0 ms",
        "75 %": "76.0 ms",
        "95 %": "96.0 ms",
        "longest": "101 ms",
    }
