"""Real input, measured apart: what the loader gives by itself, and the step that it feeds. Part of the worker."""

import gc
import time

import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.budget import FEWEST_WARMUP_STEPS
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.phase_pass import data_phase
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.timing import Clock, Step, time_steps, warm_up
from sslbench.kernels.data.loader import Batches
from sslbench.kernels.data.source import DataError


def measure_loading(
    step: Step,
    batches: Batches,
    *,
    clock: Clock,
    device: torch.device,
    spec: Spec,
    reporter: Reporter,
    outcome: Outcome,
) -> None:
    """Time the loader alone, then steps on its batches, each with processes of its own; both go into the outcome.

    Some more fed steps tell how long a step waits for its batch: the data phase.

    Args:
        step: takes its input from `batches`.
        batches: of the step.
        clock: has timed nothing yet.
        device: that runs the step.
        spec: how many steps, and for how long.
        reporter: told of both phases.
        outcome: where the figures go.

    Raises:
        MeasureError: a file cannot be read.
    """
    steps = len(outcome.samples_seconds)  # as many as with synthetic input; the step is warm, the loader has to start
    done, warmup = outcome.warmup_steps + steps, FEWEST_WARMUP_STEPS
    total = done + warmup + steps
    try:
        reporter.phase("loader alone")
        outcome.items = batches.items
        outcome.loader_samples_per_second = loader_rate(batches, steps=steps, max_seconds=spec.max_seconds)
        reporter.phase("steps fed by the loader")
        with batches.loading():
            until = time.monotonic() + spec.max_seconds
            warm_up(step, warmup, lambda warm: reporter.step(done + warm, total))
            clock.wait()
            fed = done + warmup
            time_steps(step, clock, steps=steps, until=until, on_step=lambda timed: reporter.step(fed + timed, total))
            outcome.fed_samples_seconds = clock.samples_seconds()
            data_phase(step, batches, device, spec, outcome)
    except DataError as error:
        raise MeasureError(str(error)) from error


def loader_rate(batches: Batches, *, steps: int, max_seconds: float) -> float:
    """Samples a second that the loader gives to somebody who only waits for them.

    Its processes end their batches together, so whole rounds are timed, one batch of each; the first, in which they
    start, is not. At least one round is timed, and rounds begin until there are `steps` batches or the time is over.
    """
    round_ = max(1, batches.workers)
    with batches.loading():
        for _ in range(round_):
            batches.load()
        gc.collect()
        began, count = time.monotonic(), 0
        while count == 0 or (count < steps and time.monotonic() - began < max_seconds):
            for _ in range(round_):
                batches.load()
            count += round_
        return count * batches.batch_size / (time.monotonic() - began)
