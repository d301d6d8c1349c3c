"""The published rows as data. Imports no torch."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from sslbench.bench.quantities import Strategy

Metric = Literal["allocated", "reserved", "device", "seconds", "runs"]
METRICS: tuple[str, ...] = get_args(Metric)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One number that somebody measured and published."""

    id: str
    group: str
    """Rows of one group were made by one script."""
    recipe: str
    """A recipe of the catalog, or `FILE.py:NAME` of this folder."""
    settings: dict[str, Any]
    """Fields and options of the recipe."""
    machine: str
    strategy: Strategy
    """How several devices share the step; `ddp` where there is one."""
    cuda: str
    """Version of CUDA, where it is older than 11.7; empty for any other."""
    metric: Metric
    """`allocated` and `reserved`: torch's peaks; `device`: what nvidia-smi shows; `seconds`: of a step; `runs`: whether
    the step ran (1) or ran out of memory (0)."""
    value: float
    """Bytes, seconds, or 0 and 1."""
    framework: str
    source: str

    @property
    def needs(self) -> tuple[str, ...]:
        """Packages that sslbench does not require itself and the row does."""
        return ("timm", "torchvision") if str(self.settings.get("model", "")).startswith("timm:") else ()


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Every row, in the order of the file."""
    lines = files("sslbench.bench.published").joinpath("rows.csv").read_text("utf-8").splitlines()
    return tuple(_row(table) for table in csv.DictReader(lines))


def _row(table: dict[str, str]) -> PublishedRow:
    pairs = (word.split("=", 1) for word in table["settings"].split())
    settings = {key: _setting(value) for key, value in pairs}
    changed = {"settings": settings, "strategy": table["strategy"] or "ddp", "value": float(table["value"])}
    return PublishedRow(**{**table, **changed})  # type: ignore[arg-type]


def _setting(text: str) -> Any:
    return {"true": True, "false": False}.get(text, int(text) if text.isdigit() else text)


@cache
def stated_accuracy() -> dict[tuple[str, str], dict[str, float]]:
    """What is stated of every group and metric.

    Rows, the mean, median, ninth decile and worst of the absolute error, and the share of rows inside their interval.
    """
    lines = files("sslbench.bench.published").joinpath("stated.csv").read_text("utf-8").splitlines()
    return {
        (table.pop("group"), table.pop("metric")): {key: float(value) for key, value in table.items()}
        for table in csv.DictReader(lines)
    }


@cache
def stated_verdicts() -> dict[str, dict[str, float]]:
    """What is stated of every group's verdicts: the share that is tight, and the share of the others that is wrong."""
    lines = files("sslbench.bench.published").joinpath("stated_verdicts.csv").read_text("utf-8").splitlines()
    return {
        table["group"]: {name: float(table[name]) for name in ("tight", "wrong")} for table in csv.DictReader(lines)
    }
