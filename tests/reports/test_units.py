import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.reports import units
from sslbench.reports.axes import linear_axis

GIB = 2**30
BINARY = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
SECONDS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (12, "12 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (3.4 * 1024, "3.40 KiB"),
        (14.2 * GIB, "14.2 GiB"),
        (24564 * 2**20, "24.0 GiB"),
        (9.999 * GIB, "10.0 GiB"),
        (99.96 * GIB, "100 GiB"),
        (1023.6 * 2**20, "1.00 GiB"),
        (141 * GIB, "141 GiB"),
        (-3 * GIB, "-3.00 GiB"),
        (2000 * 2**50, "2,000 PiB"),
    ],
)
def test_bytes_have_three_digits_and_a_binary_unit(value, text):
    assert units.format_bytes(value) == text


def test_a_part_takes_the_unit_of_the_whole_unless_too_small():
    assert units.format_bytes_of(14.2 * GIB, 24 * GIB) == "14.2 of 24.0 GiB"
    assert units.format_bytes_of(800 * 2**20, 24 * GIB) == "0.78 of 24.0 GiB"
    assert units.format_bytes_of(50 * 2**20, 24 * GIB) == "50.0 MiB of 24.0 GiB"
    assert units.format_bytes_interval((13.6 * GIB, 14.9 * GIB)) == "13.6 to 14.9 GiB"
    assert units.format_bytes_interval((700 * 2**20, 0.9 * GIB), whole=8 * GIB) == "0.68 to 0.90 GiB"
    assert units.format_bytes_interval((4e7, 6e7), whole=24 * GIB) == "38.1 to 57.2 MiB"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ns"),
        (0.186, "186 ms"),
        (1.2345, "1.23 s"),
        (0.9996, "1.00 s"),
        (6e-6, "6.00 µs"),
        (119.7, "120 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_durations_read_as_people_say_them(value, text):
    assert units.format_seconds(value) == text


def test_intervals_of_durations_share_a_unit():
    assert units.format_seconds_interval((0.15, 0.23)) == "150 to 230 ms"
    assert units.format_seconds_interval((0.9, 1.2)) == "0.90 to 1.20 s"
    assert units.format_seconds_interval((90, 150)) == "90.0 s to 2 min 30 s"


def test_rates_counts_and_prefixes():
    assert units.format_rate(31.23, "images") == "31.2 images/s"
    assert units.format_rate(12345.6, "images") == "12,346 images/s"
    assert units.format_rate(0.02, "images") == "1.20 images/min"
    assert units.format_rate(0.0001, "images") == "0.36 images/h"
    assert units.format_rate(1e-7, "images") == "0.01 images/day"
    assert units.format_rate(0, "images") == "0 images/s"
    assert units.format_count(109_514_298) == "110 million"
    assert units.format_count(999_999) == "1.00 million"
    assert units.format_count(12_345) == "12,345"
    assert units.format_si(165.2e12, "FLOP/s") == "165 TFLOP/s"
    assert units.format_si(450, "W") == "450 W"
    assert units.format_si(0.25, "W") == "250 mW"
    assert units.format_si(0, "W") == "0 W"


def test_a_probability_never_claims_certainty():
    assert [units.format_probability(value) for value in (0, 0.004, 0.71, 0.99, 0.998, 1)] == [
        "< 1 %",
        "< 1 %",
        "71 %",
        "99 %",
        "> 99 %",
        "> 99 %",
    ]


def test_errors_of_predictions_say_their_direction():
    assert [units.format_error(error) for error in (0.06, -0.06, 0.004, -0.0001, 1.4, -0.9)] == [
        "6 % high",
        "6 % low",
        "0.4 % high",
        "equal",
        "2.40 times too high",
        "90 % low",
    ]
    assert [units.format_signed(error) for error in (0.061, -0.061, 0.004, -0.004, 1.4)] == [
        "+6 %",
        "-6 %",
        "0 %",
        "0 %",
        "+140 %",
    ]


def test_shares_keep_two_digits():
    assert [units.format_share(share) for share in (0, 0.00001, 0.004, 0.0996, 0.412, 1.22)] == [
        "0 %",
        "< 0.1 %",
        "0.4 %",
        "10 %",
        "41 %",
        "122 %",
    ]


@given(st.floats(1e-6, 1e3), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_margin_is_the_farther_end(middle, below, above):
    text, margin = units.format_margin((middle * (1 - below), middle * (1 + above)), middle), max(below, above)
    # of a number and its neighbour, one may be written as a number and the other as less than that
    assert text == f"± {units.format_share(margin)}" or abs(float(text[2:-2].removeprefix("< ")) - 100 * margin) < 0.6


def read(text, table):
    number, unit = text.split(" ")
    return float(number.replace(",", "")) * table[unit]


@given(st.floats(1, 1e15))
def test_bytes_read_back_within_half_a_percent(value):
    assert math.isclose(read(units.format_bytes(value), BINARY), value, rel_tol=0.0051, abs_tol=0.51)


@given(st.floats(1e-9, 119))
def test_seconds_read_back_within_half_a_percent(value):
    assert math.isclose(read(units.format_seconds(value), SECONDS), value, rel_tol=0.0051)


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_more_bytes_never_read_as_fewer(one, other):
    low, high = sorted((one, other))
    assert read(units.format_bytes(low), BINARY) <= read(units.format_bytes(high), BINARY)


@given(st.floats(-1e12, 1e12))
def test_numbers_never_need_an_exponent(value):
    assert re.fullmatch(r"-?[\d,]+(\.\d+)?", units.significant(value))


@given(st.floats(0.01, 1e9, exclude_max=True))
def test_small_numbers_have_three_digits(value):
    assert len(units.significant(value).replace(",", "")) >= 3


@given(st.floats(0, 1e4), st.floats(1e-3, 1e3), st.sampled_from([("seconds", SECONDS), ("bytes", BINARY)]))
def test_labels_of_an_axis_have_one_unit_and_tell_its_ticks_apart(low, width, unit):
    name, scales = unit
    scale = 2.0**20 if name == "bytes" else 1e-3
    ticks = linear_axis((low + width) * scale, 0, 100, low=low * scale, unit=scale, most=5).ticks()
    labels = units.tick_labels(ticks, name)
    assert len(set(labels)) == len(ticks)
    assert len({label.split()[1] for label in labels}) <= 1
    for tick, label in zip(ticks, labels, strict=True):
        number, word = label.split()
        error = abs(float(number.replace(",", "")) * scales[word] - tick)
        assert error <= (0.51 * (ticks[1] - ticks[0]) if len(ticks) > 1 else 0.51 * scales[word])
