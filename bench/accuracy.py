"""Predicted numbers beside measured ones, and the errors of groups of them. Plain data, no torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median

from sslbench.bench.published.rows import stated_accuracy, stated_verdicts

FITS_PROBABILITY = 0.95
"""A verdict other than `tight` is one whose 90 % interval lies on one side of the capacity: 5 % are left beyond it."""
TOLERANCE = 0.0005
"""Errors are stated to a tenth of a percent; half of that is rounding."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measured number beside its prediction: bytes, seconds, or (for `runs`) 0 or 1 beside a probability."""

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
    mean: float
    """Of the absolute errors, as the next three."""
    median: float
    ninth_decile: float
    worst: float
    inside: float | None
    """Share of rows inside their interval."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts of a group's rows on whether a step runs or is out of memory."""

    group: str
    rows: int
    tight: float
    """Share of rows for which the prediction does not decide."""
    wrong: float
    """Share of wrong verdicts among the others."""


def accuracy(comparisons: Iterable[Comparison]) -> list[Accuracy]:
    """Errors by group and metric, in the order of their first row; without what is a verdict."""
    return [_accuracy(group, metric, rows) for (group, metric), rows in _grouped(comparisons) if metric != "runs"]


def verdicts(comparisons: Iterable[Comparison]) -> list[Verdicts]:
    """Verdicts by group, in the order of their first row."""
    return [_verdicts(group, rows) for (group, metric), rows in _grouped(comparisons) if metric == "runs"]


def _grouped(comparisons: Iterable[Comparison]) -> list[tuple[tuple[str, str], list[Comparison]]]:
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault((comparison.group, comparison.metric), []).append(comparison)
    return list(groups.items())


def _verdicts(group: str, rows: list[Comparison]) -> Verdicts:
    decided = [row for row in rows if abs(row.predicted - 0.5) >= FITS_PROBABILITY - 0.5]
    wrong = sum((row.predicted > 0.5) != (row.measured == 1) for row in decided)
    return Verdicts(group, len(rows), 1 - len(decided) / len(rows), wrong / len(decided) if decided else 0.0)


def _accuracy(group: str, metric: str, rows: list[Comparison]) -> Accuracy:
    errors = sorted(abs(row.error) for row in rows)
    known = [row.inside for row in rows if row.inside is not None]
    return Accuracy(
        group=group,
        metric=metric,
        rows=len(rows),
        mean=fmean(errors),
        median=median(errors),
        ninth_decile=errors[-(-9 * len(errors) // 10) - 1],
        worst=errors[-1],
        inside=sum(known) / len(known) if known else None,
    )


def worsened(found: Iterable[Accuracy | Verdicts]) -> list[str]:
    """What is worse than stated, one sentence each."""
    problems = []
    for each in found:
        if isinstance(each, Verdicts):
            problems += _worse_verdicts(each)
            continue
        stated = stated_accuracy().get((each.group, each.metric))
        if stated is None:
            continue
        for name in ("mean", "median", "ninth_decile", "worst"):
            value = getattr(each, name)
            if value > stated[name] + TOLERANCE:
                what = f"{each.group}, {each.metric}: {name.replace('_', ' ')} error"
                problems.append(f"{what} {value:.1%}, stated {stated[name]:.1%}")
    return problems


def _worse_verdicts(found: Verdicts) -> list[str]:
    stated = stated_verdicts().get(found.group, {})
    return [
        f"{found.group}: share of {name} verdicts {getattr(found, name):.1%}, stated {share:.1%}"
        for name, share in stated.items()
        if getattr(found, name) > share + TOLERANCE
    ]
