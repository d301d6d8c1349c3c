"""The peaks that an operator's and a step's arithmetic are measured against."""

from collections import Counter

from sslbench.bench.predict.operators import compute_dtype
from sslbench.bench.trace.events import OperatorKind, Trace
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


def peak_flops(kind: OperatorKind, device: Device, trace: Trace) -> float:
    """Dense peak for the operator's type; a type without a fast path runs at the fp32 rate."""
    return device.peak_flops_per_second[peak_dtype(kind, device, trace)].value


def peak_dtype(kind: OperatorKind, device: Device, trace: Trace) -> DType:
    """The type whose peak bounds the operator: its own, else fp32."""
    dtype = compute_dtype(kind)
    wanted: DType = "fp32"
    if dtype == "fp32":
        tf32 = trace.tf32_convolution if "convolution" in kind.name else trace.tf32_matmul
        wanted = "tf32" if tf32 else "fp32"
    elif dtype == "fp16":
        wanted = "fp16"
    elif dtype == "bf16":
        wanted = "bf16"
    elif dtype == "fp64":
        wanted = "fp64"
    return wanted if wanted in device.peak_flops_per_second else "fp32"
