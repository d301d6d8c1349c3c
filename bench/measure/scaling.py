"""A step on several devices, seen from the parent: what can be asked for, and what it adds to a record. No torch."""

import os
from collections.abc import Mapping

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.messages import Outcome
from sslbench.bench.measured import Rank, Scaling
from sslbench.bench.quantities import Backend
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.hardware_profiles.processor import usable_cores

STRATEGIES = ("ddp", "fsdp")


def check_devices(
    devices: int, strategy: str, *, recipe: Recipe, backend: Backend, others: Mapping[str, object]
) -> None:
    """Check what can be known before a worker starts.

    Args:
        devices: how many; one is always possible.
        strategy: how they share the work.
        recipe: what is run.
        backend: where.
        others: options by name that go with one device only, each with its value; None where it was not asked for.

    Raises:
        MeasureError: the step cannot run on so many devices; says why.
    """
    if devices < 1:
        raise MeasureError(f"--devices: at least 1, got {devices}")
    if strategy not in STRATEGIES:
        raise MeasureError(f"--strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if devices == 1:
        return
    reason = _reason(recipe, backend)
    reason = reason or next((f"{option} goes with one device" for option, value in others.items() if value), "")
    if not reason and backend == "torch-cpu" and devices > usable_cores():
        reason = f"this machine has {usable_cores()} core(s) that this process may use, and each device needs one"
    if reason:
        raise MeasureError(f"--devices {devices}: {reason}")


def _reason(recipe: Recipe, backend: Backend) -> str:
    if backend not in ("torch-cuda", "torch-cpu"):
        return f"{backend} runs on one device: use torch-cuda or torch-cpu"
    if recipe.stage != "train":
        return "inference steps share nothing between devices: measure one"
    if recipe.factory:
        return f"{recipe.name} is a step of one's own, whose network is not known: measure a recipe of the catalog"
    if recipe.compile:
        return "--compile goes with one device: what DDP and FSDP overlap depends on how each block is compiled"
    if os.name == "nt":
        return "torchrun's processes can be followed on Linux and macOS only"
    return ""


def with_scaling(record: Record, outcome: Outcome, *, devices: int, strategy: str) -> Record:
    """The record with its ranks and how well the step scales; rates count the samples of all devices.

    Args:
        record: of one device: the slowest rank's times, and the recipe's batch, which each device has.
        outcome: what the ranks measured.
        devices: how many.
        strategy: `ddp` or `fsdp`.
    """
    time = record.time
    assert time.step_seconds and strategy in STRATEGIES  # noqa: S101 - it was timed, and checked
    single = outcome.single_step_seconds
    scaling = Scaling(
        devices=devices,
        strategy="ddp" if strategy == "ddp" else "fsdp",
        communication=outcome.communication,
        ranks=[Rank(**rank) for rank in outcome.ranks],
        single_step_seconds=single,
        efficiency=single / time.step_seconds if single else None,
    )
    rates = {name: getattr(time, name) for name in ("samples_per_second", "tokens_per_second")}
    times = time.model_copy(update={name: rate * devices for name, rate in rates.items() if rate is not None})
    machine = record.machine
    if record.backend == "torch-cuda":
        machine = machine.model_copy(update={"device_count": devices})
    return record.model_copy(update={"scaling": scaling, "time": times, "machine": machine})
