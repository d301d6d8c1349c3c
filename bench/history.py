"""Many measured records over time: series by step and machine, and where they changed. Imports no torch."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sslbench.bench.comparison import Unit
from sslbench.bench.errors import RecordError
from sslbench.bench.gate.entries import Entry
from sslbench.bench.statistics import Array

MIN_CHANGE = 0.02
"""Least step of a series that is told, as a share."""
_PENALTY = 3.0  # times log(n), in units of the noise's variance: a place and a level for each change (BIC has 2)
_LEAST_NOISE = 0.002  # of bytes that never differ
_OUTLIER = 5.0  # standard deviations from the neighbours' median
_METRICS: dict[str, Unit] = {
    "time.step_seconds": "seconds",
    "memory.required_bytes": "bytes",
    "memory.peak_allocated_bytes": "bytes",
    "energy.joules_per_step": "joules",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One record's value."""

    created: str
    commit: str
    """Short, with a `+` where files differed from it; empty where it is not known."""
    value: float


@dataclass(frozen=True, slots=True)
class Change:
    """A step of the level of a series."""

    at: int
    """Index of the first point of the new level."""
    share: float
    """New level over the old one, less 1."""
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one step on one machine, oldest first."""

    name: str
    where: str
    metric: str
    unit: Unit
    points: tuple[Point, ...]
    changes: tuple[Change, ...]


def series_of(entries: Sequence[Entry], *, min_change: float = MIN_CHANGE) -> list[Series]:
    """Every metric of every step on every machine, with its changes; steps in the order of their first record."""
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[_name(entry), _where(entry)].append(entry)
    return [
        Series(name, where, metric, unit, points, changes_of([point.value for point in points], min_change))
        for (name, where), group in groups.items()
        for metric, unit in _METRICS.items()
        if (points := _points(group, metric))
    ]


def _name(entry: Entry) -> str:
    recipe = entry.recipe
    sizes = [f"{size} {word}".rstrip() for size, word in _sizes(entry) if size is not None]
    options = [f"{key}={value}" for key, value in recipe.options.items()]
    return ", ".join([recipe.name, *([recipe.stage] if recipe.stage != "train" else []), *sizes, *options])


def _sizes(entry: Entry) -> Iterator[tuple[int | str | None, str]]:
    recipe = entry.recipe
    yield recipe.batch_size, "samples"
    yield recipe.seq_len, "tokens"
    yield recipe.image_size, "px"
    yield (recipe.precision if recipe.precision != "fp32" else None), ""


def _where(entry: Entry) -> str:
    threads = entry.environment.threads
    words = f", {threads} thread{'' if threads == 1 else 's'}" if threads else ""
    return f"{entry.backend}, {entry.machine.title}{words}"


def _points(group: Sequence[Entry], metric: str) -> tuple[Point, ...]:
    part, _, name = metric.partition(".")
    values = ((entry, getattr(getattr(entry, part), name)) for entry in group)
    return tuple(Point(entry.created.isoformat(), _commit(entry), float(value)) for entry, value in values if value)


def _commit(entry: Entry) -> str:
    commit = entry.environment.commit
    return f"{commit[:9]}{'+' if entry.environment.uncommitted else ''}" if commit else ""


def changes_of(values: Sequence[float], min_change: float) -> tuple[Change, ...]:
    """Where the level of a series changed by at least that share.

    Optimal partitioning of the logarithms by penalized least squares (PELT: Killick, Fearnhead and Eckley, 2012; the
    package ruptures, Truong, Oudre and Vayatis, 2020), in units of the noise between neighbours. Single points that
    stand out are first drawn to their neighbours: one slow run is no change. A level has two points at least.

    Args:
        values: positive, oldest first.
        min_change: as a share.

    Raises:
        RecordError: ruptures is not installed.
    """
    if len(values) < 4:
        return ()
    logs = np.log(np.asarray(values, dtype=np.float64))
    noise = max(float(np.median(np.abs(np.diff(logs)))) * 1.4826 / np.sqrt(2), _LEAST_NOISE)
    edges = [0, *_edges(_without_outliers(logs, noise) / noise)]
    levels = [float(np.exp(np.median(logs[begin:end]))) for begin, end in itertools.pairwise(edges)]
    return _told(edges, levels, min_change)


def _told(edges: Sequence[int], levels: Sequence[float], min_change: float) -> tuple[Change, ...]:
    """Steps between levels that are large enough; a small one is no new level to compare the next with."""
    found, last = [], levels[0]
    for at, level in zip(edges[1:], levels[1:], strict=False):
        share = level / last - 1
        if abs(share) >= min_change:
            found.append(Change(at, share, last, level))
            last = level
    return tuple(found)


def _without_outliers(logs: Array, noise: float) -> Array:
    padded = np.concatenate([logs[:1], logs[:1], logs, logs[-1:], logs[-1:]])
    middles = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    return np.where(np.abs(logs - middles) > _OUTLIER * noise, middles, logs)


def _edges(scaled: Array) -> list[int]:
    """Ends of the levels."""
    try:
        import ruptures  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional extra, without types
    except ImportError as error:
        raise RecordError("change points need the package ruptures: pip install 'sslbench[history]'") from error
    detector = ruptures.KernelCPD(kernel="linear", min_size=2).fit(scaled.reshape(-1, 1))
    return [int(end) for end in detector.predict(pen=_PENALTY * np.log(len(scaled)))]
