"""Measures one configuration of a sweep. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sslbench.bench.measure.attempt import attempting
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import Progress
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.waiting import Turns, at_once
from sslbench.bench.recipe import Option
from sslbench.bench.record import Record
from sslbench.kernels.data.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How every configuration of a sweep is measured."""

    budget: Budget
    source: Source | None = None
    memory_limit_bytes: int | None = None
    snapshot: Path | None = None
    onnx: Mapping[str, Option] = field(default_factory=dict)
    """Options of ONNX Runtime, for its backends."""
    predict: bool = True
    """Whether records get the prediction for their step."""
    details: bool = True
    """Whether torch's phases and the bytes of tensors are measured after the timed steps."""


class Watcher(Protocol):
    """Is told how far the configuration is that runs."""

    def progress(self, phase: str, done: int, total: int | None) -> None:
        """Its worker's phase, and its warm-up and timed steps."""

    def remark(self, text: str) -> None:
        """Something that its record may not hold."""


def measuring_configuration(
    one: Configuration, settings: Settings, progress: Progress, *, in_turns: bool = False
) -> Turns[Record]:
    """Measure it at its recipe's batch; the record has `failure` where the step did not run.

    With `in_turns` it yields where its worker waits for its turn.

    Raises:
        SSLBenchError: it cannot be run here at all.
    """
    record = yield from attempting(
        one.recipe,
        backend=one.backend,
        budget=settings.budget,
        source=settings.source,
        command=one.command,
        progress=progress,
        devices=one.devices,
        strategy=one.strategy,
        memory_limit_bytes=settings.memory_limit_bytes,
        snapshot=settings.snapshot,
        onnx=settings.onnx if one.backend.startswith("onnx") else None,
        predict=settings.predict,
        details=settings.details,
        in_turns=in_turns,
        environment=one.environment,
    )
    return record


measure_configuration = at_once(measuring_configuration)
"""The same for one configuration by itself; returns its record."""
