"""The phases of a step: seconds and peak memory of each, in steps of their own after the timed ones. In the worker.

Timed steps carry no marks, so the sum of the phases differs from the step's time by noise and the cost of the marks.
"""

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, get_args

import torch

from sslbench.bench.blame import in_brief
from sslbench.bench.measure.marks import Marks, Stretch
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.timing import Step, time_steps
from sslbench.bench.measured import PhaseMeasured, PhaseName
from sslbench.kernels.data.loader import Batches

_MOST_STEPS = 20
_SHARE_OF_TIME = 0.1
"""Of `max_seconds`: no further step is begun after it."""
_KEEP_PEAKS = ("cuda", "xpu")
"""Devices whose allocator keeps a peak that can be reset."""
_NO_BORDERS = (
    "no backward pass and no update by a torch optimizer was seen in the step: a CUDA graph that is replayed, or code "
    "of its own, has no borders that show"
)


class PhaseClock:
    """Keeps the phases of every step that it times (see `timing.time_steps`).

    On an accelerator between events on its stream: the host is not held up, and the time is the device's own.

    Args:
        device: that runs the steps.
    """

    def __init__(self, device: torch.device) -> None:
        on_host = device.type == "cpu"
        self._seconds: Callable[[Stretch[Any]], float] = _host_seconds if on_host else _device_seconds
        self._marks: Marks[Any] = Marks(time.perf_counter_ns if on_host else partial(_event, device))

    def time(self, step: Step) -> None:
        """Run the step once, with marks."""
        self._marks.time(step)

    def phases_seconds(self) -> list[dict[PhaseName, float]]:
        """Seconds of every step's phases, the several stretches of one added up."""
        return [_sums((stretch.phase, self._seconds(stretch)) for stretch in step) for step in self._marks.steps]


def phase_pass(step: Step, device: torch.device, spec: Spec, reporter: Reporter, outcome: Outcome) -> None:
    """Run some more steps with marks at the borders of their phases; what each phase took goes into the outcome.

    A processor's peaks are counted later, with the tensors (see `tensor_count`).

    Args:
        step: has been timed.
        device: that it runs on.
        spec: for how long.
        reporter: told of the phase.
        outcome: has the timed samples; gets the phases, or the reason why there are none.
    """
    reporter.phase("phase pass")
    until = time.monotonic() + _SHARE_OF_TIME * spec.max_seconds
    steps = min(_MOST_STEPS, len(outcome.samples_seconds))
    clock = PhaseClock(device)
    try:
        time_steps(step, clock, steps=steps, until=until, on_step=lambda _: None)
        seconds = median_seconds(clock.phases_seconds())
        peaks = peak_bytes(step, device) if device.type in _KEEP_PEAKS else None
    except Exception as error:
        # a step of one's own that counts its calls, or replaces the same functions, costs these fields alone
        outcome.unknown["phases"] = f"the step could not be run with marks between its phases: {in_brief(error)}"
        return
    seconds.pop("data", None)  # synthetic input is not waited for
    if outcome.recipe.get("stage") == "train" and set(seconds) == {"forward"}:
        outcome.unknown["phases"] = _NO_BORDERS
        return
    set_phases(outcome, seconds)
    if peaks is not None:
        set_peaks(outcome, peaks)
    elif device.type != "cpu":
        no_peaks(outcome, f"torch keeps no peak of what tensors hold on {device.type}")


def median_seconds(steps: Iterable[Mapping[PhaseName, float]]) -> dict[PhaseName, float]:
    """Median of each phase over the steps; a step without it counts as 0.

    Args:
        steps: at least one, seconds by phase.
    """
    every = list(steps)
    names: set[PhaseName] = set().union(*every)
    return {name: statistics.median(step.get(name, 0.0) for step in every) for name in names}


def peak_bytes(step: Step, device: torch.device) -> dict[PhaseName, int]:
    """Most bytes that a device's allocator had given to tensors in each phase of one step.

    Its peak is read and reset at every border, which takes the host longer than a time of phases would bear.

    Args:
        step: is run once.
        device: an accelerator, whose own peak has been read.
    """

    def since_last() -> int:
        peak = torch.accelerator.max_memory_allocated(device)
        torch.accelerator.reset_peak_memory_stats(device)
        return peak

    marks = Marks(since_last)
    marks.time(step)
    peaks: dict[PhaseName, int] = {}
    for stretch in marks.steps[-1]:
        peaks[stretch.phase] = max(peaks.get(stretch.phase, 0), stretch.end)
    return peaks


def data_phase(step: Step, batches: Batches, device: torch.device, spec: Spec, outcome: Outcome) -> None:
    """Run some more fed steps; what one waits for its batch, with sending it to the device, goes into the outcome.

    Loading processes end their batches together, so it is the mean over whole rounds, one batch of each process.

    Args:
        step: takes its input from `batches`.
        batches: that are loading.
        device: that runs the step.
        spec: for how long; at least one round is run.
        outcome: has the timed fed samples.
    """
    until = time.monotonic() + _SHARE_OF_TIME * spec.max_seconds
    round_ = max(1, batches.workers)
    steps = round_ * max(1, min(_MOST_STEPS, len(outcome.fed_samples_seconds)) // round_)
    clock = PhaseClock(device)

    def late(done: int) -> bool:
        return done % round_ == 0 and time.monotonic() >= until

    time_steps(step, clock, steps=steps, until=math.inf, on_step=lambda _: None, enough=late)
    set_phases(outcome, {"data": statistics.fmean(phases.get("data", 0.0) for phases in clock.phases_seconds())})
    outcome.unknown["phases.data.peak_allocated_bytes"] = "peaks are those of the step on synthetic input"


def set_phases(outcome: Outcome, seconds: Mapping[PhaseName, float]) -> None:
    """Seconds of phases, beside those that the outcome has, in the order in which a step goes through them."""
    found = {phase["name"]: phase for phase in outcome.phases}
    for name, value in seconds.items():
        found[name] = PhaseMeasured(name=name, seconds=value).model_dump()
    outcome.phases = [found[name] for name in get_args(PhaseName) if name in found]


def set_peaks(outcome: Outcome, peaks: Mapping[PhaseName, int]) -> None:
    """Peaks of the phases that the outcome has; one that has none says why."""
    for phase in outcome.phases:
        phase["peak_allocated_bytes"] = peaks.get(phase["name"])
    no_peaks(outcome, "the step whose peaks were taken did not go through this phase")


def no_peaks(outcome: Outcome, reason: str) -> None:
    """Why the phases that have no peak have none, unless that is known already."""
    for phase in outcome.phases:
        if phase["peak_allocated_bytes"] is None:
            outcome.unknown.setdefault(f"phases.{phase['name']}.peak_allocated_bytes", reason)


def _event(device: torch.device) -> torch.Event:
    """An event behind all that the device was given on its current stream."""
    event = torch.Event(device, enable_timing=True)
    event.record()
    return event


def _device_seconds(stretch: Stretch[torch.Event]) -> float:
    stretch.end.synchronize()
    return float(stretch.start.elapsed_time(stretch.end)) / 1e3


def _host_seconds(stretch: Stretch[int]) -> float:
    return (stretch.end - stretch.start) / 1e9


def _sums(parts: Iterable[tuple[PhaseName, float]]) -> dict[PhaseName, float]:
    total: defaultdict[PhaseName, float] = defaultdict(float)
    for name, seconds in parts:
        total[name] += seconds
    return dict(total)
