"""Predictions made again from what their records say, with the software that is here.

Nothing that a record names is fetched or run: a file that somebody sent may name any. So a step of one's own, and a
model that is not here, are not predicted again.
"""

import json
from collections.abc import Sequence
from typing import Any

from sslbench.bench.fit import Run, fit
from sslbench.bench.fit_onnx import fit_onnx
from sslbench.bench.record import Record
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.what_if import with_what_if
from sslbench.kernels.catalog import objective_names
from sslbench.kernels.model_tables import MODELS, config_file, timm_name

_JOULES_PER_KWH = 3.6e6


class MadeAgain:
    """Predictions made again: those of one command together, since their what-if grids have the same batches."""

    def __init__(self, records: Sequence[Record], cache: TraceCache) -> None:
        self._cache = cache
        self._groups: dict[str, list[Record]] = {}
        for record in records:
            self._groups.setdefault(_asked(record), []).append(record)
        self._made: dict[int, Record] = {}

    def of(self, record: Record) -> Record:
        """The record, made again.

        Raises:
            SSLBenchError, ImportError: its step cannot be built or traced here.
        """
        if id(record) not in self._made:
            group = self._groups[_asked(record)]
            self._made |= {id(old): new for old, new in zip(group, _predicted(group, self._cache), strict=True)}
        return self._made[id(record)]


def _asked(record: Record) -> str:
    """What records of one command have in common."""
    run = _run(record)
    parts = [record.explain is not None, record.what_if is not None, run.strategy, run.electricity_usd_per_kwh]
    return json.dumps([record.backend, record.recipe.model_dump(), record.command, *parts])


def _predicted(group: Sequence[Record], cache: TraceCache) -> list[Record]:
    first, machines = group[0], [record.machine for record in group]
    asked: dict[str, Any] = {"command": first.command, "explained": first.explain is not None}
    if first.backend == "onnx-cpu":
        return fit_onnx(first.recipe, machines, **asked)
    made = fit(first.recipe, machines, cache=cache, run=_run(first), **asked)
    return made if first.what_if is None else with_what_if(made, cache=cache, run=_run(first))


def not_here(record: Record) -> str:
    """Why a record cannot be computed again here; empty where it can."""
    recipe = record.recipe
    if "--memory-limit" in record.command:
        return "it was made for less memory than its machine has, and does not say for how much"
    if recipe.factory:
        return "a step of one's own: a report has no code, and code that a report names is not run"
    if recipe.objective not in objective_names():
        return f"objective {recipe.objective!r} is not one of this sslbench"
    if not _is_here(recipe.model):
        return f"model {recipe.model!r} is not here, and `verify` fetches nothing: `sslbench fit --model` does"
    return ""


def _is_here(model: str) -> bool:
    """Whether a model is known without asking the network: of timm by its own name, not one of the hub."""
    if timm_name(model) is not None:
        return ":" not in model.removeprefix("timm:")
    return not model or model in MODELS or config_file(model) is not None


def _run(record: Record) -> Run:
    """How the record's step was run; the price of electricity follows from the bill."""
    bill = record.bill
    electricity = None
    if bill is not None and bill.electricity_usd is not None and bill.joules:
        electricity = bill.electricity_usd / bill.joules * _JOULES_PER_KWH
    return Run(strategy=record.plan.strategy if record.plan else "ddp", electricity_usd_per_kwh=electricity)
