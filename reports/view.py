"""Records as what a report shows: every decision on words, units, groups and order, and no markup.

Renderers walk these dataclasses. A text that is empty has nothing to show; a quantity that the record does not know
says `not known`, and `unknown` lists why.
"""

import json
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.bench.record import Record
from sslbench.reports.bill import RunView, run_view
from sslbench.reports.memory import MemoryBar, memory_bar
from sslbench.reports.ranking import SortValues, rate, sort_values
from sslbench.reports.sharpening import sharpened_by, unsharpened
from sslbench.reports.units import (
    format_bytes,
    format_bytes_interval,
    format_bytes_of,
    format_count,
    format_probability,
    format_rate,
    format_seconds,
    format_seconds_interval,
    format_si,
)
from sslbench.reports.words import (
    LABEL_LENGTH,
    NOT_KNOWN,
    RecipeLabel,
    VerdictWords,
    machine_title,
    plain,
    recipe_label,
    sample_unit,
    verdict_words,
)

COMMAND_LENGTH = 20_000
"""A command is cut only where no shell would take it from a keyboard."""


@dataclass(frozen=True, slots=True)
class PredictionView:
    """One prediction in words."""

    recipe: RecipeLabel
    machine: str
    machine_name: str
    backend: str
    verdict: VerdictWords
    required: str
    capacity: str
    memory: str
    """`14.2 of 24.0 GiB`."""
    memory_interval: str
    probability: str
    step_time: str
    """Of a step that does not fit: what it would take if it did."""
    step_interval: str
    sharpened_by: str
    unsharpened: str
    throughput: str
    max_batch: str
    bar: MemoryBar | None
    run: RunView
    work: str
    warnings: tuple[str, ...]
    command: str
    sort: SortValues


def prediction_view(record: Record) -> PredictionView:
    """What a report shows of a prediction."""
    memory, time = record.memory, record.time
    return PredictionView(
        recipe=recipe_label(record.recipe),
        machine=machine_title(record.machine),
        machine_name=plain(record.machine.name, LABEL_LENGTH),
        backend=record.backend,
        verdict=verdict_words(record),
        required=NOT_KNOWN if memory.required_bytes is None else format_bytes(memory.required_bytes),
        capacity=NOT_KNOWN if memory.capacity_bytes is None else format_bytes(memory.capacity_bytes),
        memory=_memory_of(record),
        memory_interval=_interval_of(record),
        probability="" if record.probability_fits is None else format_probability(record.probability_fits),
        step_time=NOT_KNOWN if time.step_seconds is None else format_seconds(time.step_seconds),
        step_interval=format_seconds_interval(time.interval_seconds) if time.interval_seconds else "",
        sharpened_by=sharpened_by(record),
        unsharpened=unsharpened(record),
        throughput=throughput(record, time.step_seconds),
        max_batch=NOT_KNOWN if record.max_batch_size is None else f"{record.max_batch_size:,}",
        bar=memory_bar(memory),
        run=run_view(record),
        work=_work(record),
        warnings=warnings_of(record),
        command=command_text(record),
        sort=sort_values(record),
    )


def measured_step_s(record: Record) -> float | None:
    """Median of the timed steps in seconds; the record's own figure where it holds no steps."""
    samples = record.time.samples_seconds
    return statistics.median(samples) if samples else record.time.step_seconds


def verdict_line(view: PredictionView) -> str:
    """The answer in one line: `fits: 14.2 of 24.0 GiB, 90 % interval 13.6 to 14.9, P(fits) > 99 %`."""
    parts = [f"{view.verdict.word}: {view.memory}"]
    if view.memory_interval:
        unit = " " + view.memory.rpartition(" ")[2]
        parts.append(f"90 % interval {view.memory_interval.removesuffix(unit)}")
    if view.probability:
        parts.append(f"P(fits) {view.probability}")
    return ", ".join(parts)


def by_recipe(records: Sequence[Record]) -> list[list[Record]]:
    """Records of one recipe side by side, in the order in which the recipes first come."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(json.dumps(record.recipe.model_dump()), []).append(record)
    return list(groups.values())


def best_first(records: Sequence[Record]) -> list[Record]:
    """Predictions of one recipe: what fits first, then the fastest."""

    def rank(record: Record) -> tuple[int, float]:
        step_s = record.time.step_seconds
        return verdict_words(record).rank, float("inf") if step_s is None else step_s

    return sorted(records, key=rank)


def command_text(record: Record) -> str:
    """The command that makes the record again, quoted for a POSIX shell."""
    arguments = record.command[1:] if record.command[:1] == ["sslbench"] else record.command
    return plain(" ".join(["sslbench", *map(_quoted, arguments)]), COMMAND_LENGTH)


def _quoted(word: str) -> str:
    """A word for the shell; a `~` at its beginning stays one that the shell knows."""
    home = "~/" if word.startswith("~/") else ""
    return home + shlex.quote(word.removeprefix(home))


def _memory_of(record: Record) -> str:
    required, capacity = record.memory.required_bytes, record.memory.capacity_bytes
    if required is None:
        return NOT_KNOWN
    return format_bytes(required) if capacity is None else format_bytes_of(required, capacity)


def _interval_of(record: Record) -> str:
    interval = record.memory.interval_bytes
    return format_bytes_interval(interval, whole=record.memory.capacity_bytes) if interval else ""


def throughput(record: Record, step_s: float | None) -> str:
    """Samples a second, from the record or from a step time in seconds."""
    found = rate(record, step_s)
    return NOT_KNOWN if found is None else format_rate(found, sample_unit(record.recipe))


def _work(record: Record) -> str:
    work = record.work
    parts = []
    if work.parameters is not None:
        parts.append(f"{format_count(work.parameters)} parameters")
    if work.flops is not None:
        parts.append(f"{format_si(work.flops, 'FLOP')} a step")
    if work.bytes_read is not None and work.bytes_written is not None:
        parts.append(f"{format_bytes(work.bytes_read + work.bytes_written)} read and written")
    if work.operators is not None:
        parts.append(f"{work.operators:,} operators")
    return ", ".join(parts)


def warnings_of(record: Record) -> tuple[str, ...]:
    """The record's warnings, safe as text."""
    return tuple(plain(warning) for warning in record.warnings)
