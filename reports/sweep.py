"""Several measurements of one recipe side by side: what they share as a heading, what varies as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.bench.record import Record
from sslbench.reports.beside import ComparisonRow
from sslbench.reports.measurement import MeasurementView, measurement_view
from sslbench.reports.turns import side_by_side
from sslbench.reports.units import format_signed
from sslbench.reports.words import LABEL_LENGTH, Setting, machine_title, plain, recipe_label, recipe_settings

_Table = dict[str, Setting]
"""Settings of one measurement by name."""


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One measurement of the table."""

    record: Record
    varied: tuple[str, ...]
    """Values of the sweep's columns."""
    label: str
    """The same as phrases, such as `batch 8, bf16`."""
    view: MeasurementView
    time_error: str
    """How far the predicted step time is off, as a signed share; empty where nothing was predicted or measured."""
    memory_error: str
    rate_share: float
    """Throughput in percent of the sweep's best, for a bar."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Measurements of one recipe, in the order of the records."""

    title: str
    shared: str
    """Settings of the recipe that all have."""
    place: str
    """Machine and backend that all have."""
    columns: tuple[str, ...]
    """Names of what varies."""
    rows: tuple[SweepRow, ...]
    turns: tuple[str, ...]
    """Backends that took turns, one against the other, a line each."""


def sweeps(records: Sequence[Record]) -> tuple[Sweep, ...]:
    """Measurements by recipe, in the order in which the recipes first come."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.recipe.name, record.recipe.title), []).append(record)
    return tuple(_sweep(group) for group in groups.values())


def _sweep(records: Sequence[Record]) -> Sweep:
    recipes = [{setting.name: setting for setting in recipe_settings(record.recipe)} for record in records]
    placed = [{setting.name: setting for setting in _place(record)} for record in records]
    varied = [*_varied(recipes), *_varied(placed)]
    tables = [recipe | place for recipe, place in zip(recipes, placed, strict=True)]
    best = max(record.time.samples_per_second or 0.0 for record in records)
    rows = [_row(record, table, varied, best) for record, table in zip(records, tables, strict=True)]
    title = recipe_label(records[0].recipe).title
    shared = _shared([table for table, record in zip(tables, records, strict=True) if not record.failure] or tables)
    return Sweep(
        title=title,
        shared=", ".join(setting.phrase for setting in shared if setting.name not in placed[0]),
        place=", ".join(setting.phrase for setting in shared if setting.name in placed[0]),
        columns=tuple(varied),
        rows=tuple(rows),
        turns=_side_by_side(rows, tables, varied),
    )


def _side_by_side(rows: Sequence[SweepRow], tables: Sequence[_Table], varied: Sequence[str]) -> tuple[str, ...]:
    """Lines of the backends that took turns, with what tells their runs apart."""
    names = [name for name in varied if name not in ("backend", "threads")]
    labels = {
        id(row.record): ", ".join(
            table[name].phrase or f"{table[name].value} {name}" for name in names if name in table
        )
        for row, table in zip(rows, tables, strict=True)
    }
    return side_by_side([row.record for row in rows], labels)


def _varied(tables: Sequence[_Table]) -> list[str]:
    """Names of the settings that tell the measurements apart; one that only follows another is left out."""
    found: dict[tuple[int, ...], str] = {}
    for name in dict.fromkeys(name for table in tables for name in table):
        values = [_value(table, name) for table in tables]
        if len({table[name].value for table in tables if name in table}) > 1:
            found.setdefault(tuple(values.index(value) for value in values), name)
    return list(found.values())


def _shared(tables: Sequence[_Table]) -> list[Setting]:
    first, *others = tables
    return [
        setting for name, setting in first.items() if setting.phrase and all(t.get(name) == setting for t in others)
    ]


def _place(record: Record) -> list[Setting]:
    threads, scaling = record.environment.threads, record.scaling
    devices = scaling.devices if scaling else record.machine.device_count
    settings = [
        Setting("backend", record.backend, record.backend),
        Setting("machine", plain(record.machine.name, LABEL_LENGTH), f"on {machine_title(record.machine)}"),
        Setting("devices", f"{devices:,}", f"{devices:,} devices" if devices > 1 else ""),
    ]
    if threads is not None:
        settings.append(Setting("threads", f"{threads:,}", f"{threads:,} thread{'' if threads == 1 else 's'}"))
    if scaling is not None:
        settings.append(Setting("strategy", scaling.strategy, scaling.strategy))
    return settings


def _value(table: _Table, name: str) -> str:
    return table[name].value if name in table else ""


def _row(record: Record, table: _Table, varied: Sequence[str], best: float) -> SweepRow:
    view = measurement_view(record)
    rate = record.time.samples_per_second or 0.0
    errors = {row.quantity: row for row in view.beside}
    phrases = [table[name].phrase or f"{table[name].value} {name}" for name in varied if name in table]
    return SweepRow(
        record=record,
        varied=tuple(_value(table, name) for name in varied),
        label=", ".join(phrases),
        view=view,
        time_error=_signed(errors.get("step time")),
        memory_error=_signed(errors.get("memory required")),
        rate_share=round(100 * max(rate, 0.0) / best, 2) if best > 0 else 0.0,
    )


def _signed(row: ComparisonRow | None) -> str:
    return "" if row is None else format_signed(row.error)
