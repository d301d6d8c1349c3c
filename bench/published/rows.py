"""The published rows as data. Imports no torch."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

Metric = Literal["allocated", "reserved", "device", "seconds"]
METRICS: tuple[str, ...] = get_args(Metric)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One number that somebody measured and published."""

    id: str
    group: str
    """Rows of one group were made by one script."""
    recipe: str
    """A recipe of the catalog, or `steps.py:NAME` of this folder."""
    settings: dict[str, Any]
    """Fields and options of the recipe."""
    machine: str
    metric: Metric
    """`allocated` and `reserved`: torch's peaks; `device`: what nvidia-smi shows; `seconds`: of a step."""
    value: float
    """Bytes or seconds."""
    framework: str
    source: str


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Every row, in the order of the file."""
    lines = files("sslbench.bench.published").joinpath("rows.csv").read_text("utf-8").splitlines()
    return tuple(_row(table) for table in csv.DictReader(lines))


def _row(table: dict[str, str]) -> PublishedRow:
    pairs = (word.split("=", 1) for word in table["settings"].split())
    settings = {key: int(value) if value.isdigit() else value for key, value in pairs}
    return PublishedRow(**{**table, "settings": settings, "value": float(table["value"])})  # type: ignore[arg-type]


@cache
def stated_accuracy() -> dict[tuple[str, str], dict[str, float]]:
    """What is stated of every group and metric: rows, and the median, ninth decile and worst of the absolute error."""
    lines = files("sslbench.bench.published").joinpath("stated.csv").read_text("utf-8").splitlines()
    return {
        (table.pop("group"), table.pop("metric")): {key: float(value) for key, value in table.items()}
        for table in csv.DictReader(lines)
    }
