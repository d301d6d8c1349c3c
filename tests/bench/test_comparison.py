import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sslbench.bench.comparison import (
    MOST_KEPT,
    Comparison,
    Limit,
    MetricChange,
    Spread,
    StepChange,
    judged,
    spread_of,
    version_differences,
)

amounts = st.integers(0, 10**12)


def comparison(*outcomes, refused=False):
    metrics = tuple(MetricChange(name="m", unit="bytes", base=1, new=2, outcome=outcome) for outcome in outcomes)
    steps = [StepChange(name="a", where="cpu", layer="exact", metrics=metrics)] if outcomes else []
    steps += [StepChange(name="b", where="cpu", layer="exact", refused=("torch differs",))] if refused else []
    return Comparison(base="old", new="new", steps=tuple(steps))


@pytest.mark.parametrize(
    ("outcomes", "refused", "code"),
    [
        (("pass",), False, 0),
        (("pass", "improvement"), False, 0),
        (("pass", "inconclusive", "improvement"), False, 3),
        (("inconclusive", "regression"), False, 1),
        (("inconclusive",), True, 2),
        (("regression",), True, 1),  # what was found stands
        ((), True, 2),
        ((), False, 2),  # nothing was compared
    ],
)
def test_exit_codes(outcomes, refused, code):
    assert comparison(*outcomes, refused=refused).exit_code == code


@given(amounts, amounts, amounts)
def test_a_change_in_the_good_direction_is_no_regression(base, new, allowed):
    lower, higher = judged(base, new, allowed), judged(base, new, allowed, "higher")
    assert (lower == "regression") == (new - base > allowed) == (higher == "improvement")
    assert (lower == "improvement") == (base - new > allowed) == (higher == "regression")
    assert judged(base, new, None) == "pass"


def test_the_smaller_of_two_limits_holds():
    limit = Limit(share=0.01, amount=50)
    assert (limit.allowed(1000), limit.allowed(100_000)) == (10, 50)
    assert Limit().allowed(1000) is None


def test_versions_that_differ_are_named():
    found = version_differences({"torch": "2.9.0", "timm": "1.0"}, {"torch": "2.10.0", "peft": "0.18"})
    assert found == ["peft absent, now 0.18", "timm 1.0, now absent", "torch 2.9.0, now 2.10.0"]


@given(st.lists(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=150), min_size=1, max_size=4))
def test_a_spread_keeps_the_quantiles_of_all_steps_and_the_median_of_each_run(runs):
    spread, steps = spread_of(runs), np.concatenate(runs)
    assert spread.count == len(steps)
    shares = np.linspace(0, 1, min(len(steps), MOST_KEPT))
    assert spread.seconds == pytest.approx(np.quantile(steps, shares), rel=1e-5)
    assert spread.run_medians_seconds == pytest.approx([np.median(run) for run in runs], rel=1e-5)


@pytest.mark.parametrize("seconds", [(), (2.0, 1.0), (-1.0, 0.0)])
def test_a_damaged_spread_is_refused(seconds):
    with pytest.raises(ValidationError, match="do not rise to a positive one"):
        Spread(count=2, seconds=seconds)
