"""Finds the largest batch of a configuration that runs, and measures it. Imports no torch."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sslbench.bench.errors import SSLBenchError
from sslbench.bench.measure.backends import on_processor
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.configured import Settings, Watcher, measure_configuration
from sslbench.bench.measure.host_memory import HostMemory
from sslbench.bench.measure.largest_batch import Search, confirm, search
from sslbench.bench.measure.memory_limit import low_bytes
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.predicted import predicted_record
from sslbench.bench.record import Record
from sslbench.hardware_profiles.here import describe_here, processor_here

GIB = 2**30
_BEGIN = 8  # where neither a prediction nor a recipe names a batch
_TRY_SECONDS = 1.0  # enough for two warm-up steps and a timed one, or for the first of each where they are slow


@dataclass(frozen=True, slots=True)
class _Guess:
    batch: int
    predicted: int | None
    reason: str = ""
    """Why it is not predicted."""


def measure_largest(one: Configuration, settings: Settings, watcher: Watcher) -> Record:
    """The full measurement of the largest batch that runs; its `max_batch_size` is that batch.

    Where nothing runs, or a try fails for another reason than memory, the record of that try, which has the failure.

    Raises:
        SSLBenchError: the configuration cannot be run here at all.
    """
    limit, limited_by = _limit(one, settings)
    settings = replace(settings, memory_limit_bytes=limit)
    guess, unit = _guess(one, limit, watcher), _unit(one)
    deadline = time.monotonic() + settings.budget.timeout
    tried: list[Record] = []

    def run(batch: int) -> Record:
        tried.append(_measure(one, batch, _briefly(settings), watcher, f"batch {batch}, "))
        return tried[-1]

    def go_on() -> str:
        # Without a single try there would be nothing to tell of.
        over = tried and time.monotonic() >= deadline
        return f"after {settings.budget.timeout:g} s (--timeout)" if over else ""

    found = search(run, guess.batch, unit=unit, go_on=go_on)
    record = tried[-1]
    if found.failed is None:
        record = (
            confirm(lambda batch: _measure(one, batch, settings, watcher, f"batch {batch}, "), found, unit=unit)
            or record
        )
    watcher.remark(f"largest batch{limited_by}: {_result(found)} ({_said(guess)}{found.story()})")
    return _with_search(record, found, guess, limited_by)


def _limit(one: Configuration, settings: Settings) -> tuple[int | None, str]:
    """What a step may hold, and in words where that is not the user's choice or the GPU's memory."""
    if settings.memory_limit_bytes is not None or not on_processor(one.backend):
        return settings.memory_limit_bytes, ""
    left = HostMemory().left()
    limit = max(1, int(left.bytes - low_bytes(left.total_bytes)))
    return limit, f" in the {limit / GIB:.2f} GiB that were free"


def _guess(one: Configuration, limit: int | None, watcher: Watcher) -> _Guess:
    """Where to begin: at the largest batch that is predicted to fit, else at the recipe's own."""
    watcher.progress("prediction", 0, None)
    machine = processor_here() if on_processor(one.backend) else describe_here()
    try:
        record = predicted_record(one.recipe, one.backend, machine, memory_limit_bytes=limit)
    except SSLBenchError as error:
        return _Guess(one.recipe.batch_size or _BEGIN, None, str(error))
    if record.max_batch_size is None:
        return _Guess(one.recipe.batch_size or _BEGIN, None, record.unknown.get("max_batch_size", "not known"))
    return _Guess(max(1, record.max_batch_size), record.max_batch_size)


def _unit(one: Configuration) -> int:
    """A step of several micro-batches takes their multiples only."""
    accumulation = one.recipe.options.get("accumulation", 1)
    return accumulation if type(accumulation) is int and accumulation > 0 and one.recipe.stage == "train" else 1


def _briefly(settings: Settings) -> Settings:
    budget = settings.budget
    brief = Budget(steps=1, warmup=2, max_seconds=min(_TRY_SECONDS, budget.max_seconds), timeout=budget.timeout)
    return replace(settings, budget=brief, source=None, snapshot=None, predict=False)


def _measure(one: Configuration, batch: int, settings: Settings, watcher: Watcher, prefix: str) -> Record:
    at_batch = replace(one, recipe=one.recipe.with_options(batch_size=batch))

    def progress(phase: str, done: int, total: int | None) -> None:
        watcher.progress(prefix + phase, done, total)

    return measure_configuration(at_batch, settings, progress)


def _said(guess: _Guess) -> str:
    if guess.predicted is None:
        return f"not predicted: {guess.reason}; "
    return f"predicted {guess.predicted}; "


def _result(found: Search) -> str:
    if found.failed is not None and found.failed.failure is not None:
        return f"not found: batch {found.failed.recipe.batch_size} {found.failed.failure.kind}"
    stopped = f", where the search ended {found.stopped}" if found.stopped else ""
    return f"{found.largest or 'none'}{stopped}"


def _with_search(record: Record, found: Search, guess: _Guess, limited_by: str) -> Record:
    """The record with the largest batch, and with what makes that doubtful."""
    update: dict[str, Any] = {"warnings": [*record.warnings, *_doubts(found, guess, limited_by)]}
    if found.largest is not None:
        unknown = {key: reason for key, reason in record.unknown.items() if key != "max_batch_size"}
        update |= {"max_batch_size": found.largest, "unknown": unknown}
    return record.model_copy(update=update)


def _doubts(found: Search, guess: _Guess, limited_by: str) -> Iterator[str]:
    ran = f"the largest that ran is {found.largest}" if found.largest else "no batch ran"
    if guess.predicted and found.tries.get(guess.predicted) is False:
        yield f"predicted that a batch of {guess.predicted} fits; it ran out of memory: {ran}"
    fell = [batch for batch, in_full in found.in_full.items() if not in_full]
    if fell:
        yield f"a few steps ran at a batch of {fell[0]}, the full measurement ran out of memory there: {ran}"
    if found.stopped:
        yield f"the search for the largest batch ended {found.stopped}: {found.story()}"
    if found.largest and limited_by:
        yield f"the batch is the largest{limited_by} at that time: --memory-limit names another limit"
