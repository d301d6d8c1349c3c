"""Intervals against the normal distribution of the standard library."""

from math import log
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.predict.interval import Z_90, around, beside

VALUES, SIGMAS = st.floats(1e-9, 1e15), st.floats(0, 2)


def test_an_interval_holds_nine_of_ten():
    assert NormalDist().cdf(Z_90) - NormalDist().cdf(-Z_90) == pytest.approx(0.9, abs=1e-3)


@given(VALUES, SIGMAS)
def test_ends_lie_as_far_off_on_either_side(value, sigma):
    low, high = around(value, sigma)
    assert log(high / value) == pytest.approx(log(value / low), abs=1e-9)
    low, high = beside(value, sigma * value)
    assert high - value == pytest.approx(value - low, rel=1e-6, abs=1e-6 * value)
    assert low <= value <= high
