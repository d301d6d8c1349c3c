import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.verification import Check, Verification, difference, leaves, same


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["holds", "holds"], 0),
        ([], 0),
        (["holds", "not checked"], 3),
        (["moved"], 3),
        (["moved", "differs", "holds"], 1),
    ],
)
def test_the_worst_outcome_is_the_exit_code(outcomes, code):
    checks = tuple(Check(subject="page", name="page", outcome=outcome, summary="") for outcome in outcomes)
    assert Verification(file="f", checks=checks).exit_code == code


@given(st.integers(-(10**18), 10**18))
def test_whole_numbers_are_the_same_to_the_last_byte(value):
    assert same(value, value)
    assert not same(value, value + 1)
    assert not same(value, str(value))


@given(st.floats(1e-300, 1e300))
def test_fractions_are_the_same_up_to_the_arithmetic_of_another_machine(value):
    assert same(value, value * (1 + 1e-12))
    assert not same(value, value * (1 + 1e-6))
    assert not same(value, None)


def test_leaves_are_what_is_stated():
    table = {"memory": {"required_bytes": 3, "capacity_bytes": None}, "pair": [1, 2], "verdict": "fits", "bill": None}
    assert leaves(table) == {"memory.required_bytes": 3, "pair[0]": 1, "pair[1]": 2, "verdict": "fits"}


def test_a_difference_of_numbers_has_its_share():
    found = difference("time.step_seconds", 2.0, 3.0)
    assert (found.says, found.expected, found.change) == ("2", "3", 0.5)
    assert difference("verdict", "fits", "tight").change is None
    assert difference("x", 0, 3).change is None
