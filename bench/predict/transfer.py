"""Measured here, predicted there: a step's times on some machines sharpen its prediction for another one.

A prediction is off by a factor. Its logarithm is taken as a sum of independent errors, each shared by two steps as far
as its cause is: the kernels' (any machine, as far as the steps spend their time in the same families of kernels with
the same bound), the very step's, the machine's, and that of the step on the machine. Families that are known worse
have errors of their own. What was seen of some steps then says what to expect of another: simple kriging, which is
Gaussian process regression without a trend (Rasmussen and Williams, Gaussian Processes for Machine Learning, equations
2.25 and 2.26, https://gaussianprocess.org/gpml/), with the heavier tails of a Student-t process, whose mean is the same
(Shah, Wilson and Ghahramani, https://proceedings.mlr.press/v33/shah14.html, equation 6).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, hypot, log, sqrt

import numpy as np

from sslbench.bench.predict.gpu import ROUNDING
from sslbench.bench.predict.interval import around
from sslbench.bench.predict.time import Sigmas, at_work, kernel_bounds, operator_seconds, predict_time
from sslbench.bench.trace.events import Call, Trace
from sslbench.hardware_profiles.schema import Machine

KERNELS_SHARE = 0.4
"""Part of the variance of a prediction's error that the same kernels have on any machine. Seen on timm's published
throughput on an RTX 3090 and an RTX 4090: the same model at other sizes and in other layouts (docs/accuracy.md)."""
STEP_SHARE = 0.15
"""Part that belongs to the very step, whatever the machine. From the same cards: the same step, not only the model."""
MACHINE_SHARE = 0.35
"""Part that all steps on a machine have; what is left to 1 is the step's on that machine. ResNet-50's published times
on 16 cards lie 7 % around their predictions, and on one card TF32 and fp16 alike (bench/published/rows.csv)."""
FAMILY_SHARE = 0.9
"""Part of a badly known family's error that it has on any machine. From the same two cards."""
REPEATED_SIGMA = 0.02
"""Standard deviation of the logarithm of two runs' medians, beside the spread within a run. An estimate."""
VERSION_SIGMA = 0.05
"""The same between two versions of PyTorch. timm's inference in NCHW on one card: 2.1 to 2.4, 1.13 to 2.4."""
TAILS = 5.0
"""Degrees of freedom of the errors, whose tails are heavier than a normal distribution's: a measurement that surprises
widens the interval. Errors on timm's models have tails as of two or three; with five the intervals hold
(docs/accuracy.md)."""
PHASE_SIGMA = 0.1
"""What a phase of half the step's time is off beside the errors of whole steps, whose phases make up for each other;
a shorter one more, by the root of (1 / share - 1). An estimate."""

_Shares = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Mix:
    """What the time of a step, or of a phase of it, goes to on a machine."""

    step: str
    """Equal for the very same step, whatever runs it."""
    machine: str
    kind: str
    """Of device: kernels of different kinds have nothing in common."""
    shares: _Shares
    """Of the device's time, by (family of kernels, what bounds them)."""
    sigmas: Sigmas


@dataclass(frozen=True, slots=True)
class Observation:
    """A measured time beside its prediction, in seconds."""

    mix: Mix
    measured_seconds: float
    predicted_seconds: float
    sigma: float
    """Standard deviation of the measurement's logarithm."""

    @property
    def log_ratio(self) -> float:
        """The logarithm of measured over predicted."""
        return log(self.measured_seconds / self.predicted_seconds)


@dataclass(frozen=True, slots=True)
class Sharpened:
    """A step time after what was observed."""

    step_seconds: float
    interval_seconds: tuple[float, float]


def sharpen(trace: Trace, machine: Machine, step: str, observed: Sequence[Observation]) -> Sharpened | None:
    """The predicted time of a traced step on a machine, given what was measured elsewhere.

    Args:
        trace: the step.
        machine: where it is predicted.
        step: as of `Mix`.
        observed: at least one measured time.

    Returns:
        None where the observations say nothing of this step on this machine.
    """
    target = mix_of(trace, machine, step)
    shared = np.array([covariance(each.mix, target) for each in observed])
    if not shared.any():
        return None
    seen = np.array([[covariance(one.mix, other.mix) for other in observed] for one in observed])
    seen += np.diag([each.sigma**2 for each in observed])
    off = np.array([each.log_ratio for each in observed])
    weights = np.linalg.solve(seen, shared)
    surprise = float(off @ np.linalg.solve(seen, off))
    scale = max(1.0, (TAILS - 2 + surprise) / (TAILS - 2 + len(observed)))
    left = target.sigmas.total**2 - float(weights @ shared)
    seconds = predict_time(trace, machine).step_seconds * exp(float(weights @ off))
    return Sharpened(seconds, around(seconds, sqrt(scale * max(left, REPEATED_SIGMA**2))))


def mix_of(trace: Trace, machine: Machine, step: str) -> Mix:
    """What the time of a traced step goes to on a machine; arguments as of `sharpen`."""
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    device = at_work(trace, machine.device)
    calls: dict[int, int] = defaultdict(int)
    for call in trace.calls:
        calls[call.kind] += 1
    for index, count in calls.items():
        kind = trace.kinds[index]
        parts = kernel_bounds(kind, device, trace)
        whole = count * operator_seconds(kind, device, trace)
        longest = sum(max(arithmetic, traffic) for _, arithmetic, traffic in parts)
        for family, arithmetic, traffic in parts:
            if longest:
                part = whole * max(arithmetic, traffic) / longest
                bound = arithmetic**ROUNDING / (arithmetic**ROUNDING + traffic**ROUNDING) if part else 0.0
                seconds[family, "compute"] += part * bound
                seconds[family, "bandwidth"] += part * (1 - bound)
    total = sum(seconds.values())
    shares = {key: part / total for key, part in seconds.items() if part}
    return Mix(step, machine.name, machine.device.kind, shares, predict_time(trace, machine).sigmas)


def covariance(one: Mix, other: Mix) -> float:
    """Covariance of the errors (logarithms) of two predictions."""
    if one.kind != other.kind:
        return 0.0
    here, very = one.machine == other.machine, one.step == other.step
    own = 1 - KERNELS_SHARE - STEP_SHARE - MACHINE_SHARE
    alike = _likeness(one.shares, other.shares)
    common = alike * (KERNELS_SHARE + very * (STEP_SHARE + here * own)) + here * MACHINE_SHARE
    # What one prediction knows less of than the other (a machine that was not probed) is not shared.
    found = min(one.sigmas.common, other.sigmas.common) ** 2 * common
    for family in one.sigmas.families.keys() & other.sigmas.families.keys():
        shared = (1.0 if here else FAMILY_SHARE) * _bounds_likeness(family, one.shares, other.shares)
        found += one.sigmas.families[family] * other.sigmas.families[family] * shared
    return found + here * one.sigmas.launching * other.sigmas.launching


def _likeness(one: _Shares, other: _Shares) -> float:
    """How far two steps spend their time alike, 0 to 1 (Bhattacharyya's coefficient, a positive definite kernel)."""
    return sum(sqrt(share * other.get(key, 0.0)) for key, share in one.items())


def _bounds_likeness(family: str, one: _Shares, other: _Shares) -> float:
    """The same of one family's bounds."""
    pair = [{key: share for key, share in shares.items() if key[0] == family} for shares in (one, other)]
    wholes = sqrt(sum(pair[0].values()) * sum(pair[1].values()))
    return _likeness(*pair) / wholes if wholes else 0.0


def observe(
    trace: Trace,
    machine: Machine,
    step: str,
    *,
    seconds: float,
    phase_seconds: dict[int, float],
    sigma: float,
) -> list[Observation]:
    """A measured step as observations: the step, and its phases where they were measured.

    Args:
        trace: the step.
        machine: where it was measured.
        step: as of `Mix`.
        seconds: of the step.
        phase_seconds: of the forward pass, the backward pass and the update, by index into `PHASES`; from a pass of
            their own, so that only their proportions count. They may leave something out.
        sigma: standard deviation of the measurement's logarithm.
    """
    whole = predict_time(trace, machine).step_seconds
    found = [Observation(mix_of(trace, machine, step), seconds, whole, sigma)]
    parts = {phase: replace(trace, calls=_calls(trace, phase)) for phase in phase_seconds}
    times = {phase: predict_time(part, machine).step_seconds for phase, part in parts.items() if part.calls}
    predicted, measured = sum(times.values()), sum(phase_seconds.values())
    for phase, time in times.items():
        share = time / predicted if predicted else 0.0
        seen = phase_seconds[phase] / measured if measured else 0.0
        if 0 < share < 1 and seen > 0:
            mix = mix_of(parts[phase], machine, step)
            noise = hypot(sigma, PHASE_SIGMA * sqrt(1 / share - 1))
            found.append(Observation(mix, seconds * seen, whole * share, noise))
    return found


def _calls(trace: Trace, phase: int) -> tuple[Call, ...]:
    return tuple(call for call in trace.calls if call.phase == phase)
