"""The roofline of an explained prediction: what stands where, and what is said of it."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sslbench.bench.explanation import OperatorTime
from sslbench.reports.html import render_html
from sslbench.reports.markdown import render_markdown
from sslbench.reports.roofline import MOST, rooflines
from sslbench.reports.terminal import print_predictions


@pytest.fixture
def record(sample, explained):
    return explained(sample("prediction-fits"))


def with_operators(record, operators):
    return record.model_copy(update={"explain": record.explain.model_copy(update={"operators": operators})})


def test_an_operator_stands_at_its_intensity_and_its_rate_below_its_roof(record):
    (drawn,) = rooflines([record])
    product, copied, small = sorted(drawn.dots, key=lambda dot: dot.number)
    assert product.x > drawn.panel > drawn.strip > copied.x > 0
    assert product.radius > copied.radius > small.radius
    assert small.y > copied.y > product.y  # y grows downwards
    assert [row.words.intensity for row in drawn.rows] == ["250 FLOP/B", "", ""]
    assert [row.words.reached for row in drawn.rows] == ["100 TFLOP/s", "500 GB/s", "50.0 MB/s"]
    device = record.machine.device
    assert drawn.rows[0].of_roof == f"{100 * 1e14 / device.peak_flops_per_second['bf16'].value:.0f} %"
    assert drawn.rows[1].of_roof == f"{100 * 5e11 / device.memory_bandwidth_bytes_per_second.value:.0f} %"


def test_peak_and_slope_meet_at_the_ridge(record):
    (drawn,) = rooflines([record])
    slope = next(roof for roof in drawn.roofs if roof.key == "memory" and roof.label)
    (peak,) = (roof for roof in drawn.roofs if roof.key == "peak")
    assert slope.ends[2:] == pytest.approx(peak.ends[:2], abs=0.02)
    assert peak.ends[1] == peak.ends[3]
    assert {roof.key for roof in drawn.roofs} == {"memory", "cache", "peak"}


def test_circles_are_told_apart_without_colour(record):
    (drawn,) = rooflines([record])
    assert [dot.number for dot in drawn.dots] == [1, 2, 3]
    assert [(name, numbers) for _, name, numbers in drawn.legend] == [
        ("matrix products", "1"),
        ("copies, conversions", "2"),
        ("elementwise, reductions", "3"),
    ]
    page = render_html([record])
    assert "<title>1: 12 x mm: 100 ms, 50 % of the operators&#39; time; 250 FLOP/B, 100 TFLOP/s" in page
    assert 'class="dot series-6 launch"' in page


def test_like_operators_do_not_hide_each_other(record):
    twice = [record.explain.operators[0].model_copy(update={"operator": name}) for name in ("aten.mm", "aten.addmm")]
    (drawn,) = rooflines([with_operators(record, twice)])
    first, second = drawn.dots
    assert first.y == second.y
    assert abs(first.x - second.x) >= 3


def test_what_is_not_drawn_is_named(record):
    fresh = OperatorTime(operator="fresh memory", calls=0, seconds=0.1, bound="bandwidth")
    many = [record.explain.operators[1]] * (MOST + 2)
    (drawn,) = rooflines([with_operators(record, [fresh, *many])])
    assert drawn.rest == "fresh memory 100 ms, 8.2 %; 2 shorter ones 160 ms, 13 %"
    assert drawn.rest in render_html([with_operators(record, [fresh, *many])])


def test_older_records_and_unexplained_ones_are_not_drawn(record, samples):
    old = [OperatorTime(operator="aten.mm.default", calls=1, seconds=0.1, bound="compute")]
    assert rooflines([*samples, with_operators(record, old)]) == []
    assert "Which operators" not in render_html(samples)


operators = st.builds(
    OperatorTime,
    operator=st.text(max_size=8),
    calls=st.integers(0, 10**6),
    seconds=st.just(0.0) | st.floats(1e-9, 1e6),
    bound=st.sampled_from(["compute", "bandwidth", "launch"]),
    family=st.text(max_size=8),
    dtype=st.none() | st.sampled_from(["fp32", "bf16"]),
    flops=st.integers(0, 10**18),
    bytes=st.integers(0, 10**15),
)


@given(st.lists(operators, max_size=20))
def test_any_operators_stay_within_the_drawing(sample, explained, rows):
    for drawn in rooflines([with_operators(explained(sample("prediction-fits")), rows)]):
        assert len(drawn.dots) == len(drawn.rows) <= MOST
        assert all(-60 <= dot.x <= 100 and 0 <= dot.y <= 100 for dot in drawn.dots)
        assert all(-0.01 <= end <= 100.01 for roof in drawn.roofs for end in roof.ends)


# ---------------------------------------------------------------------- sharpened times
def test_a_sharpened_time_says_by_what_and_what_it_was(record):
    file = io.StringIO()
    print_predictions([record], Console(file=file, width=200))
    for text in (file.getvalue(), render_html([record]), render_markdown([record])):
        assert "aten.mm.default, batch 8, on aten.mm.default: 220 ms, 10 % longer than predicted" in text
    assert "186 ms, 90 % interval 149 to 242 ms" in file.getvalue()
    assert "</bdi> 186 ms, 90 % interval 149 to 242 ms.</p>" in render_html([record])
