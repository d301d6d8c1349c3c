"""Memory over a step as a picture: what stands where, and what is said of the peak."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.explanation import Timeline
from sslbench.reports.html import render_html
from sslbench.reports.memory_timeline import HOVERS, SIDE, memory_timelines

GIB = 2**30


@pytest.fixture
def record(sample, explained):
    return explained(sample("prediction-fits"))


def with_timeline(record, timeline):
    return record.model_copy(update={"explain": record.explain.model_copy(update={"timeline": timeline})})


def corners(area):
    """Places of an area's upper edge, in units of the drawing."""
    numbers = re.fullmatch(rf"M\d+ {SIDE}L([\d ]+)V{SIDE}Z", area.path)[1].split()
    return list(zip(map(int, numbers[::2]), map(int, numbers[1::2]), strict=True))


def test_edges_are_bytes_from_zero_and_each_category_lies_on_those_below(record):
    (drawn,) = memory_timelines([record])
    assert [area.label for area in drawn.areas] == ["temporary", "activation", "gradient", "parameter"]
    zero, four = (place for place, label in drawn.y_ticks if label in ("0 B", "4 GiB"))
    a_gib = SIDE * (zero - four) / 400
    heights = {area.label: [round((SIDE - y) / a_gib) for _, y in corners(area)] for area in drawn.areas}
    assert heights == {
        "parameter": [1, 1],
        "gradient": [1, 1, 2, 2],
        "activation": [1, 7, 4, 2],
        "temporary": [1, 7, 5, 2],
    }
    assert drawn.peak_at == (33.33, pytest.approx(100 - 7 * a_gib / 10, abs=0.1))


def test_the_peak_is_explained_by_phase_category_module_and_line(record):
    (drawn,) = memory_timelines([record])
    words = "Peak of 7.00 GiB in forward, 33 % of the way through the step: activation 6.00 GiB, parameter 1.00 GiB"
    assert drawn.summary == words
    assert [(row.share, row.module) for row in drawn.holders] == [
        ("86 %", "aten.mm.default"),
        ("14 %", "(outside a module)"),
    ]
    assert drawn.left == (
        f"{record.machine.title}: 19.0 GiB are left for tensors on this machine, 2.71 times the peak",
    )
    assert dict(drawn.rows)["backward"] == ("5.00 GiB", "1.00 GiB", "1.00 GiB", "2.00 GiB", "1.00 GiB")
    page = render_html([record])
    assert f"<p>{words}.</p>" in page
    assert "Memory over the step" in page


def test_phases_are_named_bands_beside_each_other(record):
    (drawn,) = memory_timelines([record])
    assert [band.label for band in drawn.bands] == ["forward", "backward"]  # the optimizer begins with the last moment
    assert sum(band.width for band in drawn.bands) == pytest.approx(100)


def test_machines_on_which_the_step_allocates_alike_share_a_picture(record):
    twin = record.model_copy(update={"machine": record.machine.model_copy(update={"title": "Another"})})
    other = with_timeline(twin, record.explain.timeline.model_copy(update={"events": 401, "peak_at": 2}))
    first, second = memory_timelines([record, twin, other])
    assert first.machines == f"{record.machine.title}, Another"
    assert second.machines == "Another"


@pytest.mark.parametrize(("capacity_gib", "drawn"), [(9, True), (20, False)])
def test_what_the_machine_leaves_is_drawn_where_it_is_near(record, capacity_gib, drawn):
    memory = record.memory.model_copy(update={"capacity_bytes": capacity_gib * GIB})
    (picture,) = memory_timelines([record.model_copy(update={"memory": memory})])
    assert [label for _, label in picture.rooms] == [f"8.00 GiB left on {record.machine.name}"] * drawn


def test_machines_that_leave_as_much_share_a_line(record):
    near = record.model_copy(update={"memory": record.memory.model_copy(update={"capacity_bytes": 9 * GIB})})
    twin = near.model_copy(update={"machine": near.machine.model_copy(update={"name": "twin", "title": "Twin"})})
    (picture,) = memory_timelines([near, twin])
    assert [label for _, label in picture.rooms] == [f"8.00 GiB left on {near.machine.name} and 1 more"]


def test_records_that_are_not_explained_have_none(samples):
    assert memory_timelines(samples) == []
    assert "Memory over the step" not in render_html(samples)


@given(st.from_type(Timeline))
def test_any_record_is_drawn_within_the_picture(sample, explained, timeline):
    for drawn in memory_timelines([with_timeline(explained(sample("prediction-fits")), timeline)]):
        edges = [corners(area) for area in drawn.areas]
        assert all(0 <= place <= SIDE for edge in edges for corner in edge for place in corner)
        assert all(xs == sorted(xs) for edge in edges for xs in [[x for x, _ in edge]])
        boxes = [*drawn.bands, *drawn.moments]
        assert all(box.left >= 0 and box.width >= 0 and box.left + box.width <= 100.01 for box in boxes)
        assert len(drawn.moments) <= HOVERS
        assert all(0 <= place <= 100 for place in drawn.peak_at)


def height_at(area, x):
    """Of the area's upper edge above 0, in units of the drawing."""
    for (left, start), (right, end) in pairwise(corners(area)):
        if left <= x <= right:
            return SIDE - (start + (end - start) * (x - left) / max(right - left, 1))
    raise AssertionError(x)


bytes_of_four_moments = st.lists(st.integers(0, 10**12), min_size=4, max_size=4)


@given(st.lists(bytes_of_four_moments, min_size=3, max_size=3))
def test_categories_add_up_at_every_moment(sample, explained, columns):
    names = ("parameter", "activation", "temporary")
    totals = [sum(column) for column in zip(*columns, strict=True)]
    at = totals.index(max(totals))
    timeline = Timeline(
        part="build",
        events=4,
        positions=[0, 1, 2, 3],
        bytes=dict(zip(names, columns, strict=True)),
        phases=[],
        peak_at=at,
    )
    for drawn in memory_timelines([with_timeline(explained(sample("prediction-fits")), timeline)]):
        a_byte = (100 - drawn.peak_at[1]) * SIDE / 100 / totals[at]
        for area in drawn.areas:
            below = columns[: names.index(area.label) + 1]
            for moment, x in enumerate((0, 333, 667, 1000)):
                held = a_byte * sum(column[moment] for column in below)
                assert height_at(area, x) == pytest.approx(held, abs=3)
