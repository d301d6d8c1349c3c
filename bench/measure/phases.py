"""What every backend does with a built step: warm up, time, then use memory while the parent looks. No torch here."""

import time

from sslbench.bench.measure.contention import Contention
from sslbench.bench.measure.energy import EnergyMeter
from sslbench.bench.measure.messages import MEMORY_PHASE, Outcome, Spec
from sslbench.bench.measure.reporter import Reporter
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
    energy, contention = EnergyMeter(spec.gpu_uuid), Contention()
    time_steps(step, clock, steps=steps, until=until, on_step=lambda done: reporter.step(warmup + done, warmup + steps))
    outcome.samples_seconds, outcome.warmup_steps = clock.samples_seconds(), warmup
    outcome.warnings += contention.warnings()
    reading = energy.read()
    outcome.energy_source = reading.source
    if reading.joules is None:
        outcome.unknown["energy.joules_per_step"] = reading.reason
    else:
        outcome.joules_per_step = reading.joules / len(outcome.samples_seconds)


def memory_pass(step: Step, reporter: Reporter) -> None:
    """Run the step at least once more, untimed, so that the parent's samples of memory disturb no timed step."""
    reporter.phase(MEMORY_PHASE)
    until = time.monotonic() + _MEMORY_PASS_SECONDS
    step()
    while time.monotonic() < until:
        step()
