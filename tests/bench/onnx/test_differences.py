import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.differences import check_outputs

ONES = np.ones((2, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "has 0 outputs, torch gave 1"),
        ([np.ones((3, 2))], r"output 0 has shape \(3, 2\) in ONNX Runtime, \(2, 3\) in torch"),
        ([np.full((2, 3), 1.1)], r"output 0 differs between ONNX Runtime and torch by 0.1 .*; 0.01 is allowed"),
        ([np.full((2, 3), np.nan)], "differs"),
    ],
)
def test_another_answer_is_refused(found, message):
    with pytest.raises(MeasureError, match=message):
        check_outputs(found, [ONES], 0.01)


def test_the_worst_of_several_is_named():
    found = [ONES * 1.1, ONES * 3, ONES]
    with pytest.raises(MeasureError, match=r"output second differs .* by 2 of its largest value, 1;"):
        check_outputs(found, [ONES] * 3, 0.01, ["first", "second", "third"])


@given(st.floats(1e-6, 1e6), st.floats(-0.99, 0.99))
def test_the_tolerance_is_a_share_of_the_largest_value(scale, share):
    found = check_outputs([np.array([scale * (1 + 1e-3 * share), 0.0])], [np.array([scale, 0.0])], 1e-3)
    assert found == pytest.approx(1e-3 * abs(share), abs=1e-12)


def test_zeros_only_equal_zeros():
    assert check_outputs([ONES * 0], [ONES * 0], 0.1) == 0
    with pytest.raises(MeasureError):
        check_outputs([ONES * 1e-9], [ONES * 0], 0.1)
