"""Steps that are timed in turns with other workers, so that a drift of the machine meets all of them alike.

Part of the worker; standard library only. The parent says when a turn begins; before it, and between turns, the worker
waits for a line on its standard input, and none of its threads computes. A turn begins with one step that is not timed:
it wakes threads that slept, and brings back what the others pushed out of the caches.
"""

import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sslbench.bench.measure.contention import Contention
from sslbench.bench.measure.energy import EnergyMeter, Reading
from sslbench.bench.measure.messages import TIMED_PHASE, Outcome, Spec
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.steady import FEWEST_TIMED_STEPS, SHORTEST_TIMED_SECONDS, half_width
from sslbench.bench.measure.timing import Clock, Step, time_some, without_collector
from sslbench.bench.measure.waited import undisturbed_seconds

FEWEST_TURNS = 8
"""So many give an interval of the ratio of two backends."""
_TURN_SECONDS = 0.25  # short beside what drifts, long beside the step that is not timed
_GPU_TURN_SECONDS = 1.0  # NVML's energy counter needs as much
_LONGEST_REST_SECONDS = 1.0
_LOOK_SECONDS = 0.02
_IDLE_SHARE = 0.1
_IDLE_LOOKS = 2  # in a row: on a busy machine a thread may not get its turn at the first


def time_in_turns(
    step: Step, clock: Clock, spec: Spec, reporter: Reporter, outcome: Outcome, *, left_seconds: float
) -> None:
    """Time the step turn by turn until the parent ends that; samples, energy and contention go into the outcome.

    Args:
        step: warm.
        clock: has timed nothing yet.
        spec: says how many steps are wanted, or how well their median shall be known.
        reporter: tells the parent of each turn, and waits for the next.
        outcome: has the steps of the warm-up.
        left_seconds: of the budget; what others' turns take does not count.
    """
    meters = _Meters(spec)
    used, enough = 0.0, False
    with without_collector():
        while _next_turn(outcome, reporter, enough=enough, spent=used >= left_seconds):
            if not outcome.turns:
                reporter.phase(TIMED_PHASE)
            began = time.monotonic()
            step()
            clock.wait()
            with meters.turn():
                _time_turn(step, clock, spec, reporter, outcome, until=began + max(left_seconds - used, 0.0))
            used += time.monotonic() - began
            enough = _is_enough(outcome, spec)
    meters.add_to(outcome)


def _next_turn(outcome: Outcome, reporter: Reporter, *, enough: bool, spent: bool) -> bool:
    if outcome.threads != 1:
        _wait_until_idle()
    steps = outcome.turns[-1] if outcome.turns else 0
    return reporter.turn(steps, _median_of_last(outcome, steps), enough=enough, spent=spent)


def _median_of_last(outcome: Outcome, steps: int) -> float | None:
    undisturbed = undisturbed_seconds(outcome.samples_seconds, outcome.waited_seconds, outcome.threads)
    return statistics.median(undisturbed[-steps:]) if steps else None


def _wait_until_idle() -> None:
    """Return once no thread of this process computes, after a second at the latest.

    Threads wait for the next operator in a loop before they sleep: ONNX Runtime's for some 40 ms, OpenMP's for 8 ms.
    """
    until, idle = time.monotonic() + _LONGEST_REST_SECONDS, 0
    while idle < _IDLE_LOOKS and time.monotonic() < until:
        before = time.process_time()
        time.sleep(_LOOK_SECONDS)
        idle = idle + 1 if time.process_time() - before < _IDLE_SHARE * _LOOK_SECONDS else 0


def _time_turn(step: Step, clock: Clock, spec: Spec, reporter: Reporter, outcome: Outcome, *, until: float) -> None:
    before = len(outcome.samples_seconds)
    time_some(
        step,
        clock,
        steps=_steps_of_turn(spec, len(outcome.turns)),
        until=min(until, _end_of_turn(spec)),
        on_step=lambda done: reporter.step(outcome.warmup_steps + before + done),
    )
    outcome.samples_seconds, outcome.waited_seconds = clock.samples_seconds(), clock.waited_seconds()
    outcome.turns.append(len(outcome.samples_seconds) - before)


class _Meters:
    """Energy and what other programs used, of the turns alone."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._readings: list[Reading] = []
        self._others: list[tuple[float, float]] = []

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn runs."""
        energy, contention = EnergyMeter(self._spec.backend, self._spec.gpu_uuid), Contention()
        began = time.monotonic()
        yield
        self._readings.append(energy.read())
        share = contention.others_share()
        if share is not None:
            self._others.append((share, time.monotonic() - began))

    def add_to(self, outcome: Outcome) -> None:
        """What all turns came to; energy that could not be read in one of them is unknown."""
        spans = sum(span for _, span in self._others)
        outcome.others_cpu_share = sum(share * span for share, span in self._others) / spans if spans else None
        joules = [reading.joules for reading in self._readings if reading.joules is not None]
        missing = [reading.reason for reading in self._readings if reading.joules is None]
        if missing:
            outcome.unknown["energy.joules_per_step"] = missing[0]
        elif joules:
            outcome.joules_per_step = sum(joules) / len(outcome.samples_seconds)
            outcome.energy_source = self._readings[0].source


def _steps_of_turn(spec: Spec, turn: int) -> int | None:
    """The asked number is dealt out evenly; None: as many as its time allows. Later turns are more of the last."""
    if spec.steps is None:
        return None
    turns = min(FEWEST_TURNS, spec.steps)
    at = min(turn, turns - 1)
    return spec.steps * (at + 1) // turns - spec.steps * at // turns


def _end_of_turn(spec: Spec) -> float:
    """`time.monotonic()` after which a turn begins no step; a turn of so many steps has no such time."""
    if spec.steps is not None:
        return math.inf
    usual = _GPU_TURN_SECONDS if spec.gpu_uuid else _TURN_SECONDS
    return time.monotonic() + (spec.turn_seconds or usual)


def _is_enough(outcome: Outcome, spec: Spec) -> bool:
    samples, turns = outcome.samples_seconds, len(outcome.turns)
    if spec.steps is not None:
        return len(samples) >= spec.steps
    if turns < FEWEST_TURNS or len(samples) < FEWEST_TIMED_STEPS or sum(samples) < SHORTEST_TIMED_SECONDS:
        return False
    return half_width(samples) <= spec.tolerance
