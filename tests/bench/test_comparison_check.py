import pytest

from sslbench.bench.comparison import Cause, Comparison, MetricChange, StepChange
from sslbench.bench.comparison_check import check_comparisons

TRACED = MetricChange(
    name="memory.peak_requested_bytes",
    unit="bytes",
    base=100.0,
    new=130.0,
    allowed=1.0,
    outcome="regression",
    causes=(Cause(text="a", change=40.0), Cause(text="b", change=-10.0)),
)
TIMED = MetricChange(
    name="time.step_seconds",
    unit="seconds",
    base=1.0,
    new=1.2,
    allowed=0.05,
    interval=(0.15, 0.25),
    p_value=0.001,
    outcome="regression",
)


def check(metric):
    step = StepChange(name="step", where="cpu", layer="timed", metrics=(metric,))
    (found,) = check_comparisons([Comparison(base="a", new="b", steps=(step,))])
    return found


@pytest.mark.parametrize("metric", [TRACED, TIMED])
def test_outcomes_that_follow_hold(metric):
    assert check(metric).outcome == "holds"


@pytest.mark.parametrize(
    ("metric", "change"),
    [
        (TRACED, {"outcome": "pass"}),
        (TRACED, {"new": 131.0}),
        (TRACED, {"causes": TRACED.causes[:1]}),
        (TIMED, {"outcome": "pass"}),
        (TIMED, {"interval": (-0.1, 0.5)}),
        (TIMED, {"p_value": 0.5}),
    ],
)
def test_outcomes_that_do_not_follow_are_named(metric, change):
    found = check(metric.model_copy(update=change))
    assert found.outcome == "differs"
    assert all(difference.place.startswith(f"step: {metric.name}") for difference in found.differences)


def test_a_base_of_nothing_has_no_share():
    assert check(TIMED.model_copy(update={"base": 0.0})).outcome == "holds"
