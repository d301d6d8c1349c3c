"""Many measured records -> their history: trends by step and machine, and where they changed. Imports no torch."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from sslbench.bench.comparison import Unit
from sslbench.bench.errors import RecordError
from sslbench.bench.gate.entries import Entry
from sslbench.bench.history import Change, History, StepHistory, Trend
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


def history_of(entries: Sequence[Entry], *, source: str = "", min_change: float = MIN_CHANGE) -> History:
    """Every metric of every step on every machine, with its changes; steps in the order of their first record.

    Args:
        entries: oldest first.
        source: where they come from.
        min_change: least step of a level that is told, as a share.

    Raises:
        RecordError: ruptures is not installed.
    """
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[_name(entry), _where(entry)].append(entry)
    steps = (_step(*key, group, min_change) for key, group in groups.items())
    return History(source=source, steps=tuple(step for step in steps if step.trends))


def _step(name: str, where: str, group: Sequence[Entry], min_change: float) -> StepHistory:
    trends = (_trend(group, metric, unit, min_change) for metric, unit in _METRICS.items())
    return StepHistory(
        name=name,
        where=where,
        records=len(group),
        numbers=tuple(range(len(group))),
        created=tuple(entry.created.isoformat() for entry in group),
        commits=tuple(map(_commit, group)),
        trends=tuple(trend for trend in trends if trend.known()),
    )


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


def _trend(group: Sequence[Entry], metric: str, unit: Unit, min_change: float) -> Trend:
    part, _, name = metric.partition(".")
    values = tuple(getattr(getattr(entry, part), name) or None for entry in group)
    known = [place for place, value in enumerate(values) if value is not None]
    changes = changes_of([value for value in values if value is not None], min_change)
    placed = (change.model_copy(update={"at": known[change.at]}) for change in changes)
    return Trend(metric=metric, unit=unit, values=values, changes=tuple(placed))


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
            found.append(Change(at=at, share=share, before=last, after=level))
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
