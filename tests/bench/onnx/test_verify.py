import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.verify import Reached, check_steps, nudged

START = {"weight": np.linspace(1, 2, 50, dtype=np.float32), "count": np.array(3)}


def reached(*, loss=1.0, moved=0.1, count=4):
    return Reached(loss, {"weight": START["weight"] + np.float32(moved), "count": np.array(count)})


def check(found, *, nudge=None):
    check_steps(START, reached(), nudge or reached(), found, steps=1, first_loss=1.0)


def test_the_same_is_accepted():
    check(reached())


def test_what_rounding_explains_is_accepted():
    check(reached(loss=1.000001, moved=0.1001))


@pytest.mark.parametrize("moved", [0.11, 0.0, -0.1, float("nan"), float("inf")])
def test_another_update_is_refused_with_the_name_of_the_tensor(moved):
    with pytest.raises(MeasureError, match=r"else than torch: after 1 steps weight is .* as far off"):
        check(reached(moved=moved))


def test_a_tensor_that_rounding_changes_much_may_differ_more():
    with pytest.raises(MeasureError):
        check(reached(moved=0.12))
    check(reached(moved=0.12), nudge=reached(moved=0.101))


@pytest.mark.parametrize("loss", [1.001, float("nan"), float("inf")])
def test_another_loss_is_refused(loss):
    with pytest.raises(MeasureError, match=r"the loss of step 1 is .* in ONNX Runtime, 1 in torch"):
        check(reached(loss=loss))


@pytest.mark.parametrize(("loss", "accepted"), [(0.1001, True), (0.09, True), (0.05, False), (0.15, False)])
def test_a_later_loss_may_differ_by_a_share_of_what_training_changed(loss, accepted):
    def late():
        check_steps(START, reached(loss=0.1), reached(loss=0.1), reached(loss=loss), steps=9, first_loss=1.0)

    if accepted:
        late()
    else:
        with pytest.raises(MeasureError, match="the loss of step 9"):
            late()


def test_whole_numbers_are_exact():
    with pytest.raises(MeasureError, match="count is"):
        check(reached(count=5))


def test_another_type_or_shape_is_refused():
    with pytest.raises(MeasureError, match="weight is inf"):
        check(Reached(1.0, {"weight": START["weight"].astype(np.float64), "count": np.array(4)}))


@settings(max_examples=50)
@given(arrays.arrays(np.float32, 20, elements=st.floats(-(2.0**99), 2.0**99, width=32)), st.integers(0, 9))
def test_a_nudge_is_one_unit_in_the_last_place(array, seed):
    found = nudged(array, np.random.default_rng(seed))
    unit = np.spacing(np.abs(array))
    assert (np.abs(found - array) <= unit).all()
    assert ((found != array) | (array == 0)).all()


def test_whole_numbers_are_not_nudged():
    array = np.arange(4)
    assert nudged(array, np.random.default_rng(0)) is array
