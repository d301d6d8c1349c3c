"""From a ratio and a limit to an outcome."""

import math
from collections.abc import Sequence

from sslbench.bench.comparison import Better, Limit, MetricChange, Outcome, Unit
from sslbench.bench.gate.ratio import Ratio

SIGNIFICANT = 0.01
"""Largest p-value of the permutation test at which a difference counts."""


def judged_ratio(ratio: Ratio, limit: float, better: Better = "lower") -> tuple[Outcome, str]:
    """Outcome, and why it is inconclusive.

    A regression is worse by more than the limit, beyond chance: the 95 % interval excludes no change, and the
    permutation test, where there is one, says so, too. It passes where the change is within the limit and the interval
    excludes twice the limit: noise could not have hidden that much. Everything between is inconclusive: nothing was
    shown.

    Args:
        ratio: what was found.
        limit: change for the worse that is allowed, as a share.
        better: which direction is good.
    """
    if ratio.interval is None:
        return "inconclusive", "too few timed steps for an interval: raise --steps or --max-seconds"
    sign = 1 if better == "lower" else -1
    worse = sign * ratio.change
    least, most = sorted((sign * ratio.interval[0], sign * ratio.interval[1]))
    by_chance = ratio.p_value is not None and ratio.p_value > SIGNIFICANT
    if worse > limit and least > 0 and not by_chance:
        return "regression", ""
    if worse < -limit and most < 0 and not by_chance:
        return "improvement", ""
    if worse <= limit and most <= 2 * limit:
        return "pass", ""
    if worse <= limit:
        return (
            "inconclusive",
            f"noise could hide a change of {_percent(2 * limit)}: the interval reaches {_percent(most)}",
        )
    return "inconclusive", "worse, but by no more than chance may bring: a longer measurement would tell"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def metric_of(
    name: str, unit: Unit, base: float, ratio: Ratio, limit: Limit, *, doubts: Sequence[str] = ()
) -> MetricChange:
    """One metric, judged; what was found in spite of doubts about the conditions is inconclusive.

    Args:
        name: dotted path in the record.
        unit: of the base.
        base: the old side's middle value; the new side's is this times the ratio.
        ratio: what was found.
        limit: what may get worse.
        doubts: why the conditions of the two sides were not alike.
    """
    allowed = limit.allowed(base)
    outcome, reason = judged_ratio(ratio, allowed / base if allowed is not None else math.inf)
    if doubts and outcome != "pass":
        outcome, reason = "inconclusive", "; ".join([*doubts, *([reason] if reason else [])])
    return MetricChange(
        name=name,
        unit=unit,
        base=base,
        new=base * (1 + ratio.change),
        outcome=outcome,
        allowed=allowed,
        interval=ratio.interval,
        p_value=ratio.p_value,
        reason=reason,
    )
