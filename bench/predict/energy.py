"""Power that a step draws, from the board's power limit and how busy the step keeps the device.

`watts = limit * (WAITING + (BUSY - WAITING) * busy)`; `busy` is the share of the step in which the device computes. A
training step that fills its device runs close to the power limit, whatever it is made of; one that waits for its host
draws little more than an idle device.
"""

from math import exp, hypot, log

from sslbench.bench.predict.interval import Z_90
from sslbench.bench.quantities import Interval
from sslbench.hardware_profiles.schema import Device

BUSY = 0.88
"""Share of the power limit that a device draws which computes all the time. ResNet-50 and BERT-base in training take
0.80 to 0.92 on a V100 and an A40. Not fitted on: 0.89 to 0.97 on a Quadro RTX 6000, 0.61 to 0.71 on a P100. All as
measured by Zeus, https://github.com/ml-energy/zeus, examples/research_reproducibility/zeus_nsdi23/trace."""
WAITING = 0.2
"""The same of one that waits. ShuffleNet V2 with 8 and 16 images of 32 px, which the host bounds, takes 0.16 to 0.17 on
a V100 and 0.30 to 0.32 on an A40. Not fitted on: 0.27 on a Quadro RTX 6000, 0.16 to 0.21 on a P100. Same source."""
LOG_SIGMA = 0.13
"""Standard deviation of log(measured / predicted) power, from the same rows."""
_KINDS = ("cuda", "rocm")


def power_watts(device: Device, device_seconds: float, step_seconds: float) -> float | None:
    """Mean draw of one board over a step; None where no limit is known, or what else shares it.

    Args:
        device: its profile.
        device_seconds: how long it computes in a step.
        step_seconds: how long the step takes.
    """
    if device.power_watts is None or device.kind not in _KINDS:
        return None
    busy = min(1.0, device_seconds / step_seconds) if step_seconds else 0.0
    return device.power_watts.value * (WAITING + (BUSY - WAITING) * busy)


def joules_interval(joules: float, seconds: float, seconds_interval: Interval) -> Interval:
    """90 % interval of an energy, from that of its time and the spread of its power, which err independently."""
    low, high = (abs(log(edge / seconds)) for edge in seconds_interval)
    power = Z_90 * LOG_SIGMA
    return joules * exp(-hypot(low, power)), joules * exp(hypot(high, power))
