"""How much a quantity of one side differs from the other's, and whether that could be chance. Needs numpy, no torch.

A difference counts where it is larger than a least effect and an interval that holds what moves the median from run to
run excludes none (`sslbench.bench.gate.judge`); between runs that took no turns, a permutation test of what lies within
them must agree.

Times are compared as logarithms: a machine that is slower for a while slows both sides by the same factor.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from sslbench.bench.statistics import Array, Interval, block_length, median_interval, paired_ratio, student_t

CONFIDENCE = 0.95
_PERMUTATIONS = 2000
_SEED = 20261
_FEWEST_BLOCKS = 16  # of fewer than 8 no arrangement is rarer than the 1 % that counts


@dataclass(frozen=True, slots=True)
class Ratio:
    """New over base, less 1."""

    change: float
    interval: Interval | None
    """95 % interval of `change`; None: too few samples to tell."""
    p_value: float | None
    """Of separate runs: probability of so large a difference within them where nothing differs."""


def ratio_of_runs(base: Sequence[Sequence[float]], new: Sequence[Sequence[float]], assumed_noise: float) -> Ratio:
    """Ratio of the medians of two sets of runs that were made one after the other.

    Each run's median has its block bootstrap (`median_interval`). What moves the median from one run to the next comes
    from the repeats (Kalibera and Jones, "Rigorous benchmarking in reasonable time", 2013): the standard deviation of
    the sides' own medians, pooled, with Student's t. The permutation test shuffles blocks of steps between the sides,
    so that noise that lasts stays together.

    Args:
        base: timed steps of each run, positive, in order.
        new: the same of the other side.
        assumed_noise: standard deviation from run to run, as a share, where no side was repeated.
    """
    middles = [[math.log(float(np.median(run))) for run in side] for side in (base, new)]
    change = float(np.median(middles[1]) - np.median(middles[0]))
    reaches = [_reach(side) for side in (base, new)]
    interval = None
    if all(reach is not None for reach in reaches):
        between = between_runs(middles[0], middles[1], assumed_noise)
        reach = math.hypot(between, *(reach for reach in reaches if reach is not None))
        interval = math.expm1(change - reach), math.expm1(change + reach)
    blocks = [np.concatenate([_block_medians(np.log(run)) for run in side]) for side in (base, new)]
    return Ratio(math.expm1(change), interval, _shuffled(*blocks))


def ratio_of_launches(base: Sequence[Sequence[float]], new: Sequence[Sequence[float]]) -> Ratio:
    """Ratio of two programs that were launched several times side by side, their steps timed in turns.

    A launch gives one number: the median over its rounds of the ratio of the two turns, in which a drift of the machine
    cancels. Each process keeps its memory layout as long as it lives, so that only launches are independent of each
    other: the interval is Student's t of their numbers, with one degree of freedom less than there are launches. It
    holds what varies within a launch, too: of nested levels only the means of the highest that was repeated enter
    (Kalibera and Jones, "Rigorous benchmarking in reasonable time", 2013, https://doi.org/10.1145/2464157.2464160).

    A single launch has the bootstrap of its rounds and an assumed deviation between processes
    (`sslbench.bench.statistics.paired_ratio`).

    Args:
        base: of each launch the median of every turn, positive, in order.
        new: the same of the other, whose turn stood beside it; turns beyond the shorter list are left out.
    """
    if len(base) == 1:
        ratio, interval = paired_ratio([[turn] for turn in base[0]], [[turn] for turn in new[0]], CONFIDENCE)
        return Ratio(ratio - 1, None if interval is None else (interval[0] - 1, interval[1] - 1), None)
    middles = [_middle_of_rounds(*sides) for sides in zip(base, new, strict=True)]
    change, freedom = statistics.fmean(middles), len(middles) - 1
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    reach = _quantile_of_t(z, freedom) * statistics.stdev(middles) / math.sqrt(len(middles))
    return Ratio(math.expm1(change), (math.expm1(change - reach), math.expm1(change + reach)), None)


def _middle_of_rounds(base: Sequence[float], new: Sequence[float]) -> float:
    """Of the logarithms of the ratios."""
    return statistics.median(math.log(after / before) for before, after in zip(base, new, strict=False))


def ratio_of_values(base: Sequence[float], new: Sequence[float], assumed_noise: float) -> Ratio:
    """Ratio of the medians of single values, one a run.

    Args:
        base: positive.
        new: positive.
        assumed_noise: standard deviation from run to run, as a share, where no side was repeated; 0: none.
    """
    middles = [[math.log(value) for value in side] for side in (base, new)]
    change = float(np.median(middles[1]) - np.median(middles[0]))
    reach = between_runs(middles[0], middles[1], assumed_noise)
    return Ratio(math.expm1(change), (math.expm1(change - reach), math.expm1(change + reach)), None)


def between_runs(base: Sequence[float], new: Sequence[float], assumed_noise: float) -> float:
    """How far the difference of two sides' middles goes by chance in 95 % of all cases, from run to run.

    Args:
        base: one value a run, as logarithm.
        new: the same.
        assumed_noise: standard deviation of such a value where no side has two.
    """
    share = math.sqrt(1 / len(base) + 1 / len(new))
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    repeated = [side for side in (base, new) if len(side) > 1]
    if not repeated:
        return z * assumed_noise * share
    squares = sum(float(np.var(side)) * len(side) for side in repeated)
    freedom = sum(len(side) - 1 for side in repeated)
    # Few repeats that happen to agree are no proof: half of what is assumed without any is the least.
    deviation = max(math.sqrt(squares / freedom), assumed_noise / 2)
    return _quantile_of_t(z, freedom) * deviation * share


def _quantile_of_t(z: float, freedom: int) -> float:
    exact = {1: 12.706, 2: 4.303}  # 97.5 % points, where the series for Student's t is too low
    return exact.get(freedom) or student_t(z, freedom)


def _reach(side: Sequence[Sequence[float]]) -> float | None:
    """Half the width of the 95 % interval of a side's middle, from within its runs, as logarithm."""
    intervals = [median_interval([math.log(sample) for sample in run], CONFIDENCE) for run in side]
    halves = [(interval[1] - interval[0]) / 2 for interval in intervals if interval is not None]
    return math.sqrt(sum(half**2 for half in halves)) / len(halves) if len(halves) == len(side) else None


def _block_medians(values: Array) -> Array:
    """Medians of blocks so long that what lasts within one is over in the next."""
    values = np.asarray(values, dtype=np.float64)
    above = (values > np.median(values)).astype(np.float64)
    length = min(block_length(above), max(len(values) // _FEWEST_BLOCKS, 1)) if len(values) > 2 else 1
    return np.array([np.median(part) for part in np.array_split(values, max(len(values) // length, 1))])


def _shuffled(base: Array, new: Array) -> float | None:
    """Permutation test of the difference of two medians."""
    if len(base) + len(new) < 4:
        return None
    random, together = np.random.default_rng(_SEED), np.concatenate([base, new])
    shuffled = random.permuted(np.tile(together, (_PERMUTATIONS, 1)), axis=1)
    chance = np.abs(np.median(shuffled[:, len(base) :], axis=1) - np.median(shuffled[:, : len(base)], axis=1))
    return _share_beyond(chance, abs(float(np.median(new) - np.median(base))))


def _share_beyond(chance: Array, found: float) -> float:
    """Counts the found arrangement, too (Phipson and Smyth, "Permutation p-values should never be zero", 2010)."""
    return float((np.count_nonzero(chance >= found * (1 - 1e-12)) + 1) / (len(chance) + 1))
