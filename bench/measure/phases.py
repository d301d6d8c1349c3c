"""What every backend does with a built step: warm up, time, then use memory while the parent looks. No torch here."""

import math
import time

import psutil

from sslbench.bench.measure.budget import WARMUP_SHARE
from sslbench.bench.measure.contention import Contention
from sslbench.bench.measure.energy import EnergyMeter
from sslbench.bench.measure.messages import MEMORY_PHASE, Outcome, Spec
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import page_faults, unique_bytes
from sslbench.bench.measure.steady import Precision, half_width
from sslbench.bench.measure.timing import Clock, OnStep, Step, time_steps, warm_up, warm_up_until_steady
from sslbench.bench.measure.turns import time_in_turns

_MEMORY_PASS_SECONDS = 0.25  # room for many of the parent's samples


def measure_steps(step: Step, clock: Clock, spec: Spec, reporter: Reporter, outcome: Outcome) -> None:
    """Warm up and time the step; samples, energy and what disturbed them go into the outcome.

    The budget of seconds begins after the first step, in which a compiled model is compiled, however long that takes.
    """
    reporter.phase("warm-up")
    total = None if spec.warmup is None or spec.steps is None else spec.warmup + spec.steps
    step()
    clock.wait()
    reporter.step(1, total)
    until = time.monotonic() + spec.max_seconds
    outcome.warmup_steps = 1 + _warm_up(step, clock, spec, outcome, lambda done: reporter.step(1 + done, total))
    if spec.in_turns:
        left_seconds = until - time.monotonic()
        time_in_turns(step, clock, spec, reporter, outcome, left_seconds=left_seconds)
    else:
        _time(step, clock, spec, reporter, outcome, until=until)
    if spec.steps is None:
        outcome.warnings += _imprecise(outcome.samples_seconds, spec.tolerance)


def _time(step: Step, clock: Clock, spec: Spec, reporter: Reporter, outcome: Outcome, *, until: float) -> None:
    """Time the steps without a break."""
    warmup = outcome.warmup_steps
    reporter.phase("timed steps")
    energy, contention = EnergyMeter(spec.backend, spec.gpu_uuid), Contention()
    precision = Precision(clock.finished_seconds, tolerance=spec.tolerance, until=until)

    def on_step(done: int) -> None:
        expected = precision.expected if spec.steps is None else spec.steps
        reporter.step(warmup + done, None if expected is None else warmup + expected)

    enough = precision.reached if spec.steps is None else None
    time_steps(step, clock, steps=spec.steps, until=until, on_step=on_step, enough=enough)
    outcome.samples_seconds, outcome.waited_seconds = clock.samples_seconds(), clock.waited_seconds()
    outcome.others_cpu_share = contention.others_share()
    reading = energy.read()
    outcome.energy_source = reading.source
    if reading.joules is None:
        outcome.unknown["energy.joules_per_step"] = reading.reason
    else:
        outcome.joules_per_step = reading.joules / len(outcome.samples_seconds)


def _warm_up(step: Step, clock: Clock, spec: Spec, outcome: Outcome, on_step: OnStep) -> int:
    """The steps after the first, as many as asked for or until they are steady."""
    if spec.warmup is not None:
        warm_up(step, spec.warmup - 1, on_step)
        clock.wait()
        return spec.warmup - 1
    until = time.monotonic() + WARMUP_SHARE * spec.max_seconds
    negligible = spec.tolerance / 2
    done, steady = warm_up_until_steady(step, clock, until=until, negligible=negligible, on_step=on_step)
    if steady is False:
        outcome.warnings.append(f"step time was not steady after {1 + done} warm-up steps: raise --max-seconds")
    return done


def _imprecise(samples: list[float], tolerance: float) -> list[str]:
    width = half_width(samples)
    if width <= tolerance or math.isinf(width):  # so few steps have a warning of their own
        return []
    return [f"95 % interval of the median ±{100 * width:.3g} %, asked ±{100 * tolerance:.3g} %: raise --max-seconds"]


def memory_pass(step: Step, reporter: Reporter, outcome: Outcome) -> None:
    """Run the step at least once more, untimed, so that the parent's samples of memory disturb no timed step.

    Page faults of these steps, and what only this process holds after them, go into the outcome.
    """
    reporter.phase(MEMORY_PHASE)
    until = time.monotonic() + _MEMORY_PASS_SECONDS
    before, steps = page_faults(), 0
    while steps == 0 or time.monotonic() < until:
        step()
        steps += 1
    after = page_faults()
    if before is None or after is None:
        for kind in ("minor", "major"):
            outcome.unknown[f"memory.{kind}_page_faults"] = "Windows does not count them apart"
    else:
        outcome.minor_page_faults = round((after[0] - before[0]) / steps)
        outcome.major_page_faults = after[1] - before[1]
    try:
        outcome.unique_bytes = unique_bytes()
    except psutil.Error as error:
        outcome.unknown["memory.unique_bytes"] = f"the system does not tell: {error}"
