import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.comparison import Limit
from sslbench.bench.gate.judge import judged_ratio, metric_of
from sslbench.bench.gate.ratio import Ratio


@pytest.mark.parametrize(
    ("change", "interval", "p_value", "outcome"),
    [
        (0.10, (0.06, 0.14), 0.001, "regression"),
        (0.10, (-0.02, 0.22), 0.001, "inconclusive"),  # may be nothing
        (0.10, (0.06, 0.14), 0.2, "inconclusive"),  # the test does not see it
        (0.10, (0.06, 0.14), None, "regression"),  # single values have no test
        (0.03, (0.01, 0.05), 0.001, "pass"),  # real, and allowed
        (0.00, (-0.04, 0.04), 0.5, "pass"),
        (0.00, (-0.20, 0.20), 0.5, "inconclusive"),  # 10 % could hide in it
        (-0.10, (-0.14, -0.06), 0.001, "improvement"),
        (-0.03, (-0.05, -0.01), 0.001, "pass"),
        (0.10, None, None, "inconclusive"),
    ],
)
def test_outcomes_at_a_limit_of_5_percent(change, interval, p_value, outcome):
    found, reason = judged_ratio(Ratio(change, interval, p_value), 0.05)
    assert found == outcome
    assert bool(reason) == (outcome == "inconclusive")


def test_more_of_what_shall_be_high_is_an_improvement():
    assert judged_ratio(Ratio(0.1, (0.06, 0.14), 0.001), 0.05, "higher")[0] == "improvement"
    assert judged_ratio(Ratio(-0.1, (-0.14, -0.06), 0.001), 0.05, "higher")[0] == "regression"


@given(st.floats(-0.5, 0.5), st.floats(0, 0.3), st.floats(0, 1), st.floats(0, 0.2))
def test_no_change_within_the_limit_is_a_regression(change, reach, p_value, limit):
    outcome, _ = judged_ratio(Ratio(change, (change - reach, change + reach), p_value), limit)
    if change <= limit:
        assert outcome != "regression"
    if outcome == "regression":
        assert change - reach > 0
        assert p_value <= 0.01


def test_doubts_turn_a_finding_into_an_open_question_and_leave_a_pass():
    found = Ratio(0.1, (0.06, 0.14), 0.001)
    metric = metric_of("time.step_seconds", "seconds", 2.0, found, Limit(share=0.05), doubts=["a neighbour woke"])
    assert (metric.outcome, metric.new, metric.allowed) == ("inconclusive", pytest.approx(2.2), pytest.approx(0.1))
    assert "a neighbour woke" in metric.reason
    same = Ratio(0.0, (-0.01, 0.01), 0.5)
    assert metric_of("x", "seconds", 2.0, same, Limit(share=0.05), doubts=["a neighbour woke"]).outcome == "pass"
