"""Linear axes; logarithmic ones are tested with the probe's charts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.reports.axes import linear_axis, log_axis


@given(st.floats(1e-9, 1e15), st.sampled_from([1.0, 2.0**20, 2.0**30]), st.integers(1, 9))
def test_a_linear_axis_has_round_ticks_from_zero_and_no_more_than_asked(high, unit, most):
    axis = linear_axis(high, 100.0, 0.0, unit=unit, most=most)
    ticks = axis.ticks()
    assert ticks[0] == 0
    assert len(ticks) <= most + 1
    assert ticks[-1] <= high * 1.001
    mantissa = f"{axis.step / unit:.6e}"[:1]
    assert mantissa in "125"
    assert [axis.place(tick) for tick in ticks] == pytest.approx(
        [100 * (1 - min(tick / high, 1)) for tick in ticks], abs=0.01
    )
    assert (axis.place(-1.0), axis.place(2 * high)) == (100.0, 0.0)


@pytest.mark.parametrize("high", [0.0, -1.0])
def test_what_no_linear_axis_can_end_at(high):
    with pytest.raises(ValueError, match="above its start"):
        linear_axis(high, 0, 1)


@given(st.lists(st.floats(1e-9, 1e15), min_size=1), st.integers(1, 8))
def test_a_narrow_drawing_has_few_ticks(values, most):
    axis = log_axis(values, 0, 100)
    assert len(axis.few_ticks(most)) <= most
    assert set(axis.few_ticks(most)) <= set(axis.ticks())


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e6), st.integers(2, 8))
def test_a_linear_axis_may_start_anywhere(low, width, most):
    axis = linear_axis(low + width, 0, 100, low=low, most=most)
    ticks = axis.ticks()
    assert len(ticks) <= most + 1
    assert all(low - 1e-3 * width <= tick <= low + 1.001 * width for tick in ticks)
    assert (axis.place(low), axis.place(low + width / 2), axis.place(low + width)) == pytest.approx(
        (0, 50, 100), abs=0.02
    )
