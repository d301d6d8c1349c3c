"""Measures the configurations of a plan one after the other; what fails is an outcome, and the next one runs.

Those that differ in their backend alone are measured together, in turns.

Imports no torch.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sslbench.bench.errors import SSLBenchError
from sslbench.bench.measure.auto_batch import measure_largest
from sslbench.bench.measure.configured import Settings, Watcher, measure_configuration
from sslbench.bench.measure.interleaved import measure_interleaved
from sslbench.bench.measure.largest_batch import OUT_OF_MEMORY
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.record_file import RecordFile
from sslbench.bench.record import Record

_RAN, _OUT_OF_MEMORY, _COULD_NOT_RUN = 0, 1, 2
Numbered = tuple[int, Configuration]
"""A configuration and its number in the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one configuration."""

    record: Record | None = None
    error: SSLBenchError | None = None
    """Why there is no record: the configuration cannot be run here at all."""
    seconds: float = 0.0
    """How long it took; 0 for a record that was there already."""

    @property
    def exit_code(self) -> int:
        """0 it ran, 1 it ran out of memory, 2 it could not run."""
        if self.record is None:
            return _COULD_NOT_RUN
        failure = self.record.failure
        if failure is None:
            return _RAN
        return _OUT_OF_MEMORY if failure.kind == OUT_OF_MEMORY else _COULD_NOT_RUN


class SweepWatcher(Watcher, Protocol):
    """Is told how far a sweep is. Configurations are known by their number in the plan."""

    def started(self, number: int) -> None:
        """A configuration begins."""

    def finished(self, number: int, result: Result) -> None:
        """A configuration's result is there, and in the file if there is one."""


def run_sweep(
    plan: Sequence[Configuration],
    settings: Settings,
    *,
    watcher: SweepWatcher,
    results: dict[int, Result],
    file: RecordFile | None = None,
) -> None:
    """Measure what has no result yet.

    Args:
        plan: the configurations.
        settings: what they share.
        watcher: told how far it is.
        results: by number; those of an earlier run are left out, and new ones added as they come, so that they are
            known to whoever is interrupted.
        file: gets every record as soon as it is there.

    Raises:
        OutputError: the file cannot be written; it holds what it held before.
    """
    for group in groups([(number, one) for number, one in enumerate(plan) if number not in results]):
        for number, result in _results(group, settings, watcher):
            results[number] = result
            if file is not None and result.record is not None:
                file.add(number, result.record)
            watcher.finished(number, result)


def groups(numbered: Sequence[Numbered]) -> list[list[Numbered]]:
    """What is measured together: configurations that differ in their backend alone, in the order of their first.

    A search for the largest batch and a step on several devices are measured by themselves.
    """
    found: dict[str, list[Numbered]] = {}
    for number, one in numbered:
        by_itself = one.auto_batch or one.devices > 1
        found.setdefault(str(number) if by_itself else one.recipe.model_dump_json(), []).append((number, one))
    return list(found.values())


def _results(group: Sequence[Numbered], settings: Settings, watcher: SweepWatcher) -> Iterator[tuple[int, Result]]:
    if len(group) > 1:
        yield from _together(group, settings, watcher)
        return
    number, one = group[0]
    watcher.started(number)
    yield number, _measured(one, settings, watcher)


def _together(group: Sequence[Numbered], settings: Settings, watcher: SweepWatcher) -> Iterator[tuple[int, Result]]:
    began = time.monotonic()
    for number, found in measure_interleaved(group, settings, watcher.progress, watcher.started):
        seconds = (time.monotonic() - began) / len(group)
        if isinstance(found, SSLBenchError):
            yield number, Result(error=found, seconds=seconds)
        else:
            yield number, Result(record=found, seconds=seconds)


def _measured(one: Configuration, settings: Settings, watcher: Watcher) -> Result:
    began = time.monotonic()
    try:
        record = _record(one, settings, watcher)
    except SSLBenchError as error:
        return Result(error=error, seconds=time.monotonic() - began)
    return Result(record=record, seconds=time.monotonic() - began)


def _record(one: Configuration, settings: Settings, watcher: Watcher) -> Record:
    if one.auto_batch:
        return measure_largest(one, settings, watcher)
    return measure_configuration(one, settings, watcher.progress)


def worst_exit_code(results: Mapping[int, Result]) -> int:
    """Of all results; 0 where there is none."""
    return max((result.exit_code for result in results.values()), default=_RAN)
