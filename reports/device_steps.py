"""Steps of a recipe on more and more devices, as the records of predictions and measurements tell them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sslbench.bench.quantities import Interval
from sslbench.bench.record import Record
from sslbench.reports.view import measured_step_s
from sslbench.reports.words import LABEL_LENGTH, device_count, plain, recipe_key


@dataclass(frozen=True, slots=True)
class DeviceStep:
    """A step on so many devices, each with the recipe's batch."""

    devices: int
    seconds: float
    interval: Interval | None
    """90 % interval of the seconds."""
    efficiency: float
    """Seconds on one device over these."""
    record: Record

    @property
    def basis(self) -> str:
        """`predicted` or `measured`."""
        return "measured" if self.record.kind == "measurement" else "predicted"

    @property
    def samples_per_second(self) -> float:
        """On all devices together."""
        return self.rate(self.seconds)

    def rate(self, seconds: float) -> float:
        """The same if the step took so long."""
        return self.devices * (self.record.recipe.batch_size or 0) / seconds


Run = tuple[str, Sequence[DeviceStep]]
"""Name of a machine, and its steps from one device on."""


def device_runs(records: Sequence[Record]) -> list[list[Run]]:
    """For each recipe the machines with two or more numbers of devices, predicted and measured, fastest first."""
    recipes: dict[str, dict[tuple[str, str], list[DeviceStep]]] = {}
    for record in records:
        for step in _steps(record):
            runs = recipes.setdefault(recipe_key(record.recipe), {})
            runs.setdefault((_name(record), step.basis), []).append(step)
    found = ([(name, _rising(steps)) for (name, _), steps in runs.items()] for runs in recipes.values())
    grown = ([(name, steps) for name, steps in runs if len(steps) > 1] for runs in found)
    return [sorted(runs, key=lambda run: -run[1][-1].samples_per_second) for runs in grown if runs]


def _name(record: Record) -> str:
    name, shared = plain(record.machine.name, LABEL_LENGTH), record.plan or record.scaling
    return f"{name} {shared.strategy}" if shared and shared.strategy != "ddp" else name


def _steps(record: Record) -> Iterator[DeviceStep]:
    """The record's own, and the one on a single device that it was held against."""
    seconds, interval, shared = measured_step_s(record), record.time.interval_seconds, record.plan or record.scaling
    if not seconds or not record.recipe.batch_size or record.failure:
        return
    if shared is None and record.machine.device_count == 1:
        yield DeviceStep(1, seconds, interval, 1.0, record)
    elif shared and shared.single_step_seconds and shared.devices > 1:
        yield DeviceStep(1, shared.single_step_seconds, None, 1.0, record)
        yield DeviceStep(shared.devices, seconds, interval, shared.single_step_seconds / seconds, record)


def _rising(steps: Sequence[DeviceStep]) -> list[DeviceStep]:
    """One a number of devices: a record of its own before what another one was held against."""
    found: dict[int, DeviceStep] = {}
    for step in sorted(steps, key=lambda step: (step.devices, device_count(step.record) != step.devices)):
        found.setdefault(step.devices, step)
    return list(found.values())
