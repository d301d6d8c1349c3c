"""What samples taken one after the other say about their median. Needs numpy, no torch.

Steps that follow each other are not independent: a clock that sinks, a neighbour that wakes, a page that is moved lasts
for many of them. Intervals here are bootstrapped in blocks, so that what lasts within a block stays together: the
circular block bootstrap (Politis and Romano, "A circular block-resampling procedure for stationary data", 1992).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Interval = tuple[float, float]
Array: TypeAlias = npt.NDArray[np.float64]

BETWEEN_RUNS = 0.005
"""Standard deviation of what moves the median from one process to the next on an idle machine, as a share of it.
A round assumption, not a measurement: one run cannot tell, and machines differ."""
FEWEST_FOR_INTERVAL = 5  # of fewer samples not even the extremes hold the median in 90 % of all cases
_FEWEST_FOR_DRIFT = 10
_RESAMPLES = 1000
_SEED = 20260
_MOST_AT_ONCE = 1 << 22  # resampled values that are held in memory


def median_absolute_deviation(samples: Sequence[float]) -> float | None:
    """Median distance of the samples from their median, unscaled; None for fewer than 2 samples."""
    if len(samples) < 2:
        return None
    values = np.asarray(samples, dtype=np.float64)
    return float(np.median(np.abs(values - np.median(values))))


def median_interval(samples: Sequence[float], confidence: float = 0.9) -> Interval | None:
    """Interval of the median from a circular block bootstrap, the same at every call.

    Its percentiles are those of Student's t with as many degrees of freedom as there are blocks, less 1: percentiles of
    few resampled blocks lie too close (the expanded percentile interval of Hesterberg, "What teachers should know about
    the bootstrap", 2015).

    Of simulated 90 % intervals, 90 to 95 % hold the true median of independent samples, and 88 % that of 50 or more
    samples with a correlation of 0.6 between neighbours. The shorter a run beside the noise that lasts, the less its
    interval knows of it: with 0.9 between neighbours, those of 100 samples hold the median in 70 % of all cases.

    Args:
        samples: in the order in which they were taken, of any unit.
        confidence: share of such intervals that shall hold the median of the process that made the samples.

    Returns:
        Lower and upper end; None for fewer than 5 samples.
    """
    if len(samples) < FEWEST_FOR_INTERVAL:
        return None
    values = np.asarray(samples, dtype=np.float64)
    # A median moves as the share of samples above it does: the blocks suit that series, which has no outliers.
    length = max(block_length((values > np.median(values)).astype(np.float64)), math.isqrt(len(values)))
    blocks = len(values) / length
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    tail = NormalDist().cdf(-student_t(z, blocks - 1) * math.sqrt(blocks / (blocks - 1)))
    low, high = np.quantile(_resampled_medians(values, length), [tail, 1 - tail])
    return float(low), float(high)


def run_interval(samples: Sequence[float]) -> Interval | None:
    """90 % interval of the median that a run of the same step would give, from the steps of one run.

    The run's own interval (`median_interval`), and beside it what steps of one run cannot show, as independent errors:
    its process has its own memory layout and its own moment on the machine (Kalibera and Jones, "Rigorous benchmarking
    in reasonable time", 2013). That part is `BETWEEN_RUNS`.

    Args:
        samples: positive, in the order in which they were taken.

    Returns:
        Lower and upper end, both positive; None for fewer than 5 samples.
    """
    within = median_interval(samples)
    if within is None:
        return None
    median = float(np.median(samples))
    beside = NormalDist().inv_cdf(0.95) * BETWEEN_RUNS
    below, above = math.log(median / within[0]), math.log(within[1] / median)
    return median * math.exp(-math.hypot(below, beside)), median * math.exp(math.hypot(above, beside))


def paired_ratio(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], confidence: float = 0.9
) -> tuple[float, Interval | None]:
    """How much longer the steps of the second of two programs take, from turns that they took one after the other.

    A drift of the machine meets both turns of a round alike and leaves their ratio as it is. What is left is the median
    over the rounds of the ratio of the turns' medians, with its block bootstrap (`median_interval`, of logarithms) and
    beside it what moves each of the two processes (`BETWEEN_RUNS`).

    Args:
        first: samples of each turn, positive, at least one a turn.
        second: the same of the other; turns beyond the shorter list are left out.
        confidence: of the interval.

    Returns:
        Ratio, and its interval; None for fewer than 5 rounds.
    """
    pairs = list(zip(first, second, strict=False))
    logs = [math.log(float(np.median(after)) / float(np.median(before))) for before, after in pairs]
    middle, within = float(np.median(logs)), median_interval(logs, confidence)
    if within is None:
        return math.exp(middle), None
    beside = math.sqrt(2) * NormalDist().inv_cdf((1 + confidence) / 2) * BETWEEN_RUNS
    below, above = math.hypot(middle - within[0], beside), math.hypot(within[1] - middle, beside)
    return math.exp(middle), (math.exp(middle - below), math.exp(middle + above))


def block_length(values: Array) -> int:
    """Samples a block of the circular bootstrap, from how fast the autocorrelation of `values` fades.

    Politis and White, "Automatic block-length selection for the dependent bootstrap" (2004), as corrected by Patton,
    Politis and White (2009): the length of least error of the mean's variance, at most 3 sqrt(n) and n / 3.

    Args:
        values: (n,) a stationary series.

    Returns:
        1 where neighbours are independent, or all values the same.
    """
    count = len(values)
    covariances = _autocovariances(values, _most_lags(count))
    if covariances[0] <= 0:
        return 1
    last = min(2 * _last_correlated_lag(covariances / covariances[0], count), len(covariances) - 1)
    if last == 0:
        return 1
    lags = np.arange(1, last + 1)
    weights = np.minimum(1, 2 * (1 - lags / last))  # the flat-top window
    weighted = weights * covariances[1 : last + 1]
    spectrum = covariances[0] + 2 * weighted.sum()
    if spectrum <= 0:  # neighbours that balance each other
        return 1
    slope = 2 * (weighted * lags).sum()
    length = math.cbrt(2 * slope**2 / (4 / 3 * spectrum**2) * count)
    return max(1, math.ceil(min(length, 3 * math.sqrt(count), count / 3)))


def drift(samples: Sequence[float]) -> float | None:
    """Relative change of the median from the first half of the samples to the second, where noise can't explain it.

    Returns:
        None where the halves' 90 % intervals overlap, or there are fewer than 10 samples.
    """
    if len(samples) < _FEWEST_FOR_DRIFT:
        return None
    middle = len(samples) // 2
    first, second = samples[:middle], samples[middle:]
    early, late = median_interval(first), median_interval(second)
    if early is None or late is None or (early[0] <= late[1] and late[0] <= early[1]):
        return None
    return float(np.median(second) / np.median(first)) - 1


def student_t(z: float, freedom: float) -> float:
    """The quantile of Student's t where the normal distribution has `z` (Abramowitz and Stegun, 26.7.5)."""
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _resampled_medians(values: Array, length: int) -> Array:
    count = len(values)
    random = np.random.default_rng(_SEED)
    starts = random.integers(count, size=(_RESAMPLES, -(-count // length), 1))
    at_once = max(1, _MOST_AT_ONCE // count)
    parts = []
    for first in range(0, _RESAMPLES, at_once):
        indices = (starts[first : first + at_once] + np.arange(length)) % count
        parts.append(np.median(values[indices.reshape(len(indices), -1)[:, :count]], axis=1))
    return np.concatenate(parts)


def _autocovariances(values: Array, most: int) -> Array:
    """Of lags 0 to `most`."""
    centred = values - values.mean()
    return np.array([centred[: len(centred) - lag] @ centred[lag:] for lag in range(most + 1)]) / len(values)


def _most_lags(count: int) -> int:
    return min(math.ceil(math.sqrt(count)) + _lags_in_a_row(count), count - 1)


def _lags_in_a_row(count: int) -> int:
    return max(5, math.ceil(math.sqrt(math.log10(count))))


def _last_correlated_lag(correlations: Array, count: int) -> int:
    """The lag after which enough correlations in a row are those of chance; the last significant one if none are."""
    significant = np.abs(correlations[1:]) > 2 * math.sqrt(math.log10(count) / count)
    in_a_row = _lags_in_a_row(count)
    for lag in range(len(significant)):
        if not significant[lag : lag + in_a_row].any():
            return lag
    return len(significant)
