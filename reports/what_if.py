"""`fit --what-if` in words: every cell of a recipe's grids, and what it changes beside the recipe's own settings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sslbench.bench.grid import Settings
from sslbench.bench.quantities import Interval
from sslbench.bench.recipe import PRECISIONS
from sslbench.bench.record import Record
from sslbench.reports.batch_curve import BatchCurve, batch_curve, settings_label
from sslbench.reports.bill import format_between, format_run, format_usd
from sslbench.reports.units import (
    format_bytes,
    format_bytes_interval,
    format_bytes_of,
    format_rate,
    format_seconds,
    format_seconds_interval,
    format_signed,
    significant,
)
from sslbench.reports.view import by_recipe
from sslbench.reports.words import (
    LABEL_LENGTH,
    NOT_KNOWN,
    VERDICTS,
    RecipeLabel,
    VerdictWords,
    machine_title,
    plain,
    recipe_label,
    sample_unit,
)

BAR_OF_CAPACITY = 1.5
"""How much of the capacity a bar's whole width stands for: what is beyond it shows by how much."""

_MANY_TIMES = 3.0
"""From this ratio on, a percentage is hard to read."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One prediction of a grid in words; empty where there is nothing to say."""

    batch: str
    verdict: VerdictWords
    required: str
    memory: str
    """`14.2 of 24.0 GiB`."""
    memory_interval: str
    step: str
    step_interval: str
    rate: str
    run: str
    run_interval: str
    rent: str
    rent_interval: str
    change: str
    """Beside the recipe's own settings: `memory -38 %, step +31 %, throughput -24 %`, or `memory 3.94 times`."""
    bar: tuple[float, float, float]
    """Required memory and its interval in percent of a bar's width."""
    unknown: str
    """Why there is nothing."""


@dataclass(frozen=True, slots=True)
class SettingsView:
    """All batches of one precision, with or without activation checkpointing."""

    precision: str
    checkpointing: bool
    label: str
    largest: str
    own: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class MachineView:
    """The grid of one machine."""

    machine: str
    name: str
    """As the command line has it; a part of the page's address."""
    capacity: str
    capacity_at: float
    """In percent of a bar's width."""
    settings: tuple[SettingsView, ...]
    curve: BatchCurve | None
    has_run: bool
    has_rent: bool


@dataclass(frozen=True, slots=True)
class WhatIfView:
    """The grids of one recipe; all have the same batches."""

    recipe: RecipeLabel
    own: str
    """The recipe's own settings, as `SettingsView.label` has them, with its batch."""
    own_batch: str
    own_precision: str
    own_checkpointing: bool
    batches: tuple[str, ...]
    precisions: tuple[str, ...]
    checkpointing: tuple[bool, ...]
    labels: tuple[str, ...]
    """Of all settings that any machine has."""
    machines: tuple[MachineView, ...]


def what_ifs(records: Sequence[Record]) -> Iterator[WhatIfView]:
    """The grids of every recipe that has some."""
    for group in by_recipe([record for record in records if record.what_if is not None]):
        yield _view(group)


def _view(records: Sequence[Record]) -> WhatIfView:
    recipe = records[0].recipe
    machines = tuple(_machine(record) for record in records)
    every = sorted((each for machine in machines for each in machine.settings), key=_order)
    grid = records[0].what_if
    own_batch = f"{recipe.batch_size:,}"
    own = settings_label(recipe.precision, checkpointing=recipe.activation_checkpointing)
    return WhatIfView(
        recipe=recipe_label(recipe),
        own=f"batch {own_batch}, {own}",
        own_batch=own_batch,
        own_precision=recipe.precision,
        own_checkpointing=recipe.activation_checkpointing,
        batches=tuple(f"{batch:,}" for batch in (grid.batch_sizes if grid else ())),
        precisions=tuple(dict.fromkeys(each.precision for each in every)),
        checkpointing=tuple(sorted({each.checkpointing for each in every})),
        labels=tuple(dict.fromkeys(each.label for each in every)),
        machines=machines,
    )


def _order(settings: SettingsView) -> tuple[int, bool]:
    return PRECISIONS.index(settings.precision), settings.checkpointing


def _machine(record: Record) -> MachineView:
    capacity = record.memory.capacity_bytes
    settings = tuple(_settings(record, each) for each in (record.what_if.settings if record.what_if else ()))
    cells, devices = [cell for each in settings for cell in each.cells], record.machine.device_count
    return MachineView(
        machine=machine_title(record.machine),
        name=plain(record.machine.name, LABEL_LENGTH) + (f":{devices}" if devices > 1 else ""),
        capacity=NOT_KNOWN if capacity is None else format_bytes(capacity),
        capacity_at=round(100 / BAR_OF_CAPACITY, 3),
        settings=settings,
        curve=batch_curve(record),
        has_run=any(cell.run for cell in cells),
        has_rent=any(cell.rent for cell in cells),
    )


def _settings(record: Record, settings: Settings) -> SettingsView:
    own = (settings.precision, settings.activation_checkpointing) == _own(record)
    sizes = record.what_if.batch_sizes if record.what_if else []
    return SettingsView(
        precision=settings.precision,
        checkpointing=settings.activation_checkpointing,
        label=settings_label(settings.precision, checkpointing=settings.activation_checkpointing),
        largest=NOT_KNOWN if settings.max_batch_size is None else f"{settings.max_batch_size:,}",
        own=own,
        cells=tuple(_cell(record, settings, place, batch) for place, batch in enumerate(sizes)),
    )


def _own(record: Record) -> tuple[str, bool]:
    return record.recipe.precision, record.recipe.activation_checkpointing


def _cell(record: Record, settings: Settings, place: int, batch: int) -> Cell:
    required, capacity = settings.required_bytes[place], record.memory.capacity_bytes
    interval, step = settings.interval_bytes[place], settings.step_seconds[place]
    step_interval, rate = settings.interval_seconds[place], settings.samples_per_second[place]
    run, rent = settings.run_seconds[place], settings.rent_usd[place]
    moot = settings.verdicts[place] == "does-not-fit"
    return Cell(
        batch=f"{batch:,}",
        verdict=VERDICTS[settings.verdicts[place] or "none"],
        required="" if required is None else format_bytes(required),
        memory=_memory(required, capacity),
        memory_interval=format_bytes_interval(interval, whole=capacity) if interval else "",
        step="" if step is None else format_seconds(step),
        step_interval=format_seconds_interval(step_interval) if step_interval else "",
        rate="" if rate is None else format_rate(rate, sample_unit(record.recipe)),
        run="" if run is None or moot else format_run(run),
        run_interval="" if moot else _between(run, step, step_interval, format_run),
        rent="" if rent is None or moot else format_usd(rent),
        rent_interval="" if moot else _between(rent, step, step_interval, format_usd),
        change=_change(record, settings, place),
        bar=_bar(required, interval, capacity),
        unknown=plain(settings.unknown[place]),
    )


def _memory(required: int | None, capacity: int | None) -> str:
    if required is None:
        return ""
    return format_bytes(required) if capacity is None else format_bytes_of(required, capacity)


def _between(
    value: float | None, step: float | None, step_interval: Interval | None, how: Callable[[float], str]
) -> str:
    """The interval of what is proportional to the step's time."""
    if value is None or not step or step_interval is None:
        return ""
    return format_between((value * step_interval[0] / step, value * step_interval[1] / step), how)


def _change(record: Record, settings: Settings, place: int) -> str:
    """What a cell changes beside the recipe's own settings on the same machine."""
    pairs = (
        ("memory", settings.required_bytes[place], record.memory.required_bytes),
        ("step", settings.step_seconds[place], record.time.step_seconds),
        ("throughput", settings.samples_per_second[place], record.time.samples_per_second),
    )
    parts = [f"{name} {_ratio(value / own)}" for name, value, own in pairs if value and own]
    return ", ".join(part for part in parts if not part.endswith(" 0 %"))


def _ratio(ratio: float) -> str:
    return format_signed(ratio - 1) if ratio < _MANY_TIMES else f"{significant(ratio)} times"


def _bar(required: int | None, interval: Sequence[float] | None, capacity: int | None) -> tuple[float, float, float]:
    if required is None or not capacity:
        return 0.0, 0.0, 0.0
    low, high = interval or (required, required)
    used, start, end = (
        round(min(100 * value / (BAR_OF_CAPACITY * capacity), 100.0), 2) for value in (required, low, high)
    )
    return used, start, end
