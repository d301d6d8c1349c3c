"""What every backend does with a built step: warm up, time, then use memory while the parent looks. No torch here."""

import time

import psutil

from sslbench.bench.measure.contention import Contention
from sslbench.bench.measure.energy import EnergyMeter
from sslbench.bench.measure.messages import MEMORY_PHASE, Outcome, Spec
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import page_faults, unique_bytes
from sslbench.bench.measure.timing import Clock, Step, time_steps, warm_up

_MEMORY_PASS_SECONDS = 0.25  # room for many of the parent's samples


def measure_steps(step: Step, clock: Clock, spec: Spec, reporter: Reporter, outcome: Outcome) -> None:
    """Warm up and time the step; samples, energy and what disturbed them go into the outcome."""
    until = time.monotonic() + spec.max_seconds
    reporter.phase("warm-up")
    warmup, steps = spec.warmup or 3, spec.steps or 20
    warm_up(step, warmup, lambda done: reporter.step(done, warmup + steps))
    clock.wait()
    reporter.phase("timed steps")
    energy, contention = EnergyMeter(spec.backend, spec.gpu_uuid), Contention()
    time_steps(step, clock, steps=steps, until=until, on_step=lambda done: reporter.step(warmup + done, warmup + steps))
    outcome.samples_seconds, outcome.warmup_steps = clock.samples_seconds(), warmup
    outcome.others_cpu_share = contention.others_share()
    reading = energy.read()
    outcome.energy_source = reading.source
    if reading.joules is None:
        outcome.unknown["energy.joules_per_step"] = reading.reason
    else:
        outcome.joules_per_step = reading.joules / len(outcome.samples_seconds)


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
