"""Finds the largest batch of a configuration that runs, and measures it. Imports no torch."""

import time
from dataclasses import dataclass, replace

from sslbench.bench.errors import SSLBenchError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.configured import Settings, Watcher, measure_configuration
from sslbench.bench.measure.host_memory import HostMemory
from sslbench.bench.measure.largest_batch import OUT_OF_MEMORY, Search, bounds, search
from sslbench.bench.measure.memory_limit import low_bytes
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.predicted import predicted_record
from sslbench.bench.record import Record
from sslbench.hardware_profiles.cpu import describe_cpu
from sslbench.hardware_profiles.here import describe_here

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

    A batch that runs in the search and not in the full measurement counts as one that does not run, and the search goes
    on. Where nothing runs, or a try fails for another reason than memory, the record of that try has the failure.

    Raises:
        SSLBenchError: the configuration cannot be run here at all.
    """
    limit, limited_by = _limit(one, settings)
    settings = replace(settings, memory_limit_bytes=limit)
    guess, unit = _guess(one, limit, watcher), _unit(one)
    deadline = time.monotonic() + settings.budget.timeout
    found, last = Search(), None

    def run(batch: int) -> Record:
        nonlocal last
        last = _measure(one, batch, _briefly(settings), watcher, f"batch {batch}, ")
        return last

    def go_on() -> str:
        return f"after {settings.budget.timeout:g} s (--timeout)" if time.monotonic() >= deadline else ""

    while search(run, guess.batch, unit=unit, go_on=go_on, found=found).failed is None and found.largest:
        last = _measure(one, found.largest, settings, watcher, f"largest batch {found.largest}, ")
        if last.failure is None or last.failure.kind != OUT_OF_MEMORY:
            break
        found.tries[found.largest] = False
    if last is None:
        raise SSLBenchError(f"no batch of {one.recipe.name} was tried {found.stopped}: raise --timeout")
    watcher.remark(f"largest batch{limited_by}: {_result(found)} ({_said(guess)}{found.story()})")
    return _with_search(last, found, guess, limited_by)


def _limit(one: Configuration, settings: Settings) -> tuple[int | None, str]:
    """What a step may hold, and in words where that is not the user's choice or the GPU's memory."""
    if settings.memory_limit_bytes is not None or not one.backend.endswith("-cpu"):
        return settings.memory_limit_bytes, ""
    left = HostMemory().left()
    limit = max(1, int(left.bytes - low_bytes(left.total_bytes)))
    return limit, f" in the {limit / GIB:.2f} GiB that were free"


def _guess(one: Configuration, limit: int | None, watcher: Watcher) -> _Guess:
    """Where to begin: at the largest batch that is predicted to fit, else at the recipe's own."""
    watcher.progress("prediction", 0, None)
    machine = describe_cpu() if one.backend.endswith("-cpu") else describe_here()
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
    low, high = bounds(found.tries)
    ran = record.failure is None
    warnings = []
    if guess.predicted and found.tries.get(guess.predicted) is False:
        warnings.append(
            f"predicted that a batch of {guess.predicted} fits; it ran out of memory, and {low or 'no batch'} ran"
        )
    if found.stopped:
        warnings.append(f"the search for the largest batch ended {found.stopped}: {found.story()}")
    if ran and limited_by:
        warnings.append(f"the batch of {low} is the largest{limited_by} at that time: --memory-limit names another")
    unknown = {key: reason for key, reason in record.unknown.items() if not (ran and key == "max_batch_size")}
    update = {"warnings": [*record.warnings, *warnings], "unknown": unknown}
    return record.model_copy(update=update | ({"max_batch_size": low} if ran and high else {}))
