from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sslbench.bench.measure.largest_batch import LARGEST, bounds, confirm, next_batch, search
from sslbench.bench.measured import Failure
from sslbench.bench.record import load_records

RAN = load_records(Path(__file__).parents[2] / "data" / "records" / "measurement-cpu.json")[0]


def failed(kind="out-of-memory"):
    return RAN.model_copy(update={"failure": Failure(kind=kind, phase="build", steps_done=0, message="no")})


def up_to(most):
    return lambda batch: RAN if batch <= most else failed()


def never():
    return ""


@given(st.integers(0, 100_000), st.integers(1, 100_000), st.sampled_from([1, 3, 4, 16]))
@example(most=0, guess=1, unit=1)
@example(most=63, guess=64, unit=1)
def test_the_boundary_is_found_and_confirmed_on_both_sides(most, guess, unit):
    found = search(up_to(most), guess, unit=unit, go_on=never)
    low, high = bounds(found.tries)
    assert low <= most < high
    assert high - low <= unit * max(1, 0.02 * low / unit) or (low < unit == high)
    assert low // unit >= 64 or high - low == unit
    assert all(batch % unit == 0 for batch in found.tries)
    assert len(found.tries) <= 45


@given(st.integers(1, 5000), st.integers(-3, 3))
def test_a_good_guess_needs_few_tries(most, off):
    assert len(search(up_to(most), max(1, most + off * most // 100), go_on=never).tries) <= 8


def test_a_step_that_takes_no_memory_ends_at_the_largest_batch_that_a_recipe_can_have():
    found = search(up_to(LARGEST), 1, go_on=never)
    assert bounds(found.tries) == (LARGEST, None)
    assert next_batch(found.tries, 1) is None


def test_another_failure_than_memory_ends_the_search_with_its_cause():
    found = search(lambda batch: RAN if batch < 9 else failed("crashed"), 8, go_on=never)
    assert found.failed.failure.kind == "crashed"
    assert found.tries == {8: True}
    assert found.largest is None


def test_a_search_that_is_stopped_says_why():
    reasons = iter(["", "", "after 900 s"])
    found = search(up_to(100), 16, go_on=lambda: next(reasons))
    assert found.tries == {16: True, 18: True}
    assert found.stopped == "after 900 s"


def test_a_batch_that_runs_a_few_steps_but_not_all_gives_way_to_a_smaller_one():
    found = search(up_to(100), 100, go_on=never)
    record = confirm(up_to(90), found)
    assert record.failure is None
    assert found.in_full == {100: False, 97: False, 91: False, 79: True}
    assert found.largest == 79
    assert found.story().endswith("; in full 100: out of memory; 97: out of memory; 91: out of memory; 79: ran")


@pytest.mark.parametrize("unit", [1, 4])
def test_where_nothing_runs_the_smallest_try_says_so(unit):
    found = search(up_to(0), 64, unit=unit, go_on=never)
    assert min(found.tries) == unit
    assert confirm(up_to(0), found, unit=unit) is None
    assert found.largest is None


def test_where_no_full_measurement_runs_the_last_failure_is_the_answer():
    found = search(up_to(5), 5, go_on=never)
    assert confirm(up_to(0), found).failure.kind == "out-of-memory"
    assert found.largest is None


def test_a_full_measurement_that_crashes_is_the_answer():
    found = search(up_to(5), 5, go_on=never)
    record = confirm(lambda batch: failed("crashed"), found)
    assert record.failure.kind == "crashed"
    assert found.failed is record
