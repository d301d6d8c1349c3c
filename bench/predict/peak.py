"""The peak that a step's arithmetic is measured against."""

from collections import Counter

from sslbench.bench.predict.time import peak_dtype
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Device, DType


def main_dtype(trace: Trace, device: Device) -> DType:
    """The type that most of a step's FLOP are of, among those that the device has a peak for; fp32 for a step without.

    Of a step under autocast that is the recipe's precision. A step of one's own does not say its precision, and torch
    lets convolutions in fp32 run in TF32.
    """
    flops: Counter[DType] = Counter()
    for call in trace.calls:
        kind = trace.kinds[call.kind]
        flops[peak_dtype(kind, device, trace)] += kind.flops
    return max(flops, key=lambda dtype: flops[dtype], default="fp32")
