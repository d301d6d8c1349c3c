"""The 90 % interval, which every prediction has: how a standard deviation becomes its two ends."""

from math import exp

Z_90 = 1.645
"""Standard deviations on each side of a 90 % interval. Of the normal distribution."""


def around(value: float, log_sigma: float) -> tuple[float, float]:
    """The 90 % interval of a value whose logarithm has this standard deviation."""
    spread = exp(Z_90 * log_sigma)
    return value / spread, value * spread


def beside(value: float, sigma: float) -> tuple[float, float]:
    """The 90 % interval of a value that has this standard deviation."""
    return value - Z_90 * sigma, value + Z_90 * sigma
