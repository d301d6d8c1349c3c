"""Measures this machine: its kernels, the figures that follow from them, and what it was that was measured."""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.clocks import clock_of
from sslbench.bench.measure.devices import device_of
from sslbench.bench.measure.timing import warm_up_until_steady
from sslbench.bench.probe.collective import time_all_reduce
from sslbench.bench.probe.figures import with_figures
from sslbench.bench.probe.run import Progress, Ran, run_suite
from sslbench.bench.probe.suite import suite_of
from sslbench.bench.probe.watch import Watch
from sslbench.hardware_profiles.cpu import describe_cpu
from sslbench.hardware_profiles.here import described, nvidia_card, profile_of
from sslbench.hardware_profiles.kept import torch_version
from sslbench.hardware_profiles.processor import describe_processor, processor_name
from sslbench.hardware_profiles.schema import Machine, Probe
from sslbench.kernels.micro.matmul import linear

SECONDS = {"cpu": 36.0, "cuda": 50.0}
"""For the kernels of a device."""
QUICK = 0.25
"""Part of that which a quick probe takes."""
_FEW_HURRIED = 0.05
"""Share of the sizes that a disturbance on any machine may cost without a word."""
_WARM_UP_SECONDS = 3.0
_WARM_UP_SHAPE = (1024, 1024, 1024)


@dataclass(frozen=True, slots=True)
class Probed:
    """A probed machine, and what could not be timed on it."""

    machine: Machine
    left_out: tuple[str, ...]


def probe(kind: str, *, quick: bool = False, progress: Progress | None = None) -> Probed:
    """Time the micro-kernels on this machine.

    Args:
        kind: `cpu` or `cuda` (the first visible card).
        quick: the same kernels in a quarter of the time, with more noise.
        progress: told how far it is.

    Raises:
        MeasureError: there is no such device here, or none of the kernels ran.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # before CUDA starts: it then counts as NVML does
    device = device_of(f"torch-{kind}")
    base, name = _described(device)
    began, watch = time.monotonic(), Watch(device)
    if progress is not None:
        progress("warm-up", 0, None)
    _warm_up(device)
    seconds = SECONDS[device.type] * (QUICK if quick else 1.0)
    ran = run_suite(suite_of(device), device, seconds=seconds, progress=progress)
    if not ran.timings:
        raise MeasureError(f"probe: no kernel ran on this device: {ran.left_out[0]}")
    if kind == "cuda" and torch.cuda.device_count() > 1:
        _add_all_reduce(ran, progress)
    made = Probe(
        device=name,
        torch=torch_version(),
        threads=torch.get_num_threads() if kind == "cpu" else None,
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        seconds=round(time.monotonic() - began, 1),
        warnings=(*watch.warnings(), *_hurried(ran)),
    )
    changes = {
        "device": with_figures(base.device, ran.timings),
        "processor": describe_processor(),
        "probe": made,
        "notes": "",
    }
    return Probed(base.model_copy(update=changes), tuple(ran.left_out))


def _hurried(ran: Ran) -> list[str]:
    sizes = sum(len(timing.points) for timing in ran.timings)
    if ran.hurried <= _FEW_HURRIED * sizes:
        return []
    return [f"{ran.hurried} of {sizes} sizes were timed in haste, or while others had the cores: probe again in quiet"]


def _add_all_reduce(ran: Ran, progress: Progress | None) -> None:
    if progress is not None:
        progress("all-reduce", 0, None)
    try:
        ran.timings.append(time_all_reduce("cuda", torch.cuda.device_count()))
    except MeasureError as error:
        ran.left_out.append(str(error))


def _described(device: torch.device) -> tuple[Machine, str]:
    """The machine before it is probed, and the device's name."""
    if device.type == "cpu":
        return describe_cpu(), processor_name()
    card = nvidia_card()
    profile = profile_of(card) if card is not None else None
    if card is None or profile is None:
        name = torch.cuda.get_device_name(device)
        raise MeasureError(f"probe: {name} has no profile to start from: write one as in docs/machines.md")
    return described(profile, card), card.name


def _warm_up(device: torch.device) -> None:
    """Clocks rise with the load, which takes some tenths of a second."""
    with torch.no_grad():
        step = linear(device, torch.float32, _WARM_UP_SHAPE)
        until = time.monotonic() + _WARM_UP_SECONDS
        warm_up_until_steady(step, clock_of(device), until=until, negligible=0.01, on_step=lambda _: None)
