"""Predicted numbers beside measured ones, and the errors of groups of them. Plain data, no torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from sslbench.bench.published.rows import stated_accuracy

TOLERANCE = 0.0005
"""Errors are stated to a tenth of a percent; half of that is rounding."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measured number beside its prediction, in bytes or seconds."""

    name: str
    group: str
    metric: str
    machine: str
    measured: float
    predicted: float
    inside: bool | None
    """Whether the measured number lies in the 90 % interval; None where the prediction has none for it."""

    @property
    def error(self) -> float:
        """Relative: above 0 where the prediction is higher."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Errors of a group's rows in one metric."""

    group: str
    metric: str
    rows: int
    median: float
    """Of the absolute errors, as the next two."""
    ninth_decile: float
    worst: float
    inside: float | None
    """Share of rows inside their interval."""


def accuracy(comparisons: Iterable[Comparison]) -> list[Accuracy]:
    """Errors by group and metric, in the order of their first row."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault((comparison.group, comparison.metric), []).append(comparison)
    return [_accuracy(group, metric, rows) for (group, metric), rows in groups.items()]


def _accuracy(group: str, metric: str, rows: list[Comparison]) -> Accuracy:
    errors = sorted(abs(row.error) for row in rows)
    known = [row.inside for row in rows if row.inside is not None]
    return Accuracy(
        group=group,
        metric=metric,
        rows=len(rows),
        median=median(errors),
        ninth_decile=errors[-(-9 * len(errors) // 10) - 1],
        worst=errors[-1],
        inside=sum(known) / len(known) if known else None,
    )


def worsened(found: Iterable[Accuracy]) -> list[str]:
    """What is worse than stated, one sentence each."""
    problems = []
    for each in found:
        stated = stated_accuracy().get((each.group, each.metric))
        if stated is None:
            continue
        for name in ("median", "ninth_decile", "worst"):
            value = getattr(each, name)
            if value > stated[name] + TOLERANCE:
                what = f"{each.group}, {each.metric}: {name.replace('_', ' ')} error"
                problems.append(f"{what} {value:.1%}, stated {stated[name]:.1%}")
    return problems
