"""The clock that a GPU can hold on a step: its power limit, and what the step's arithmetic and traffic take.

A board lowers the clock until it stays within its power. Arithmetic takes energy for each operation, less of it at a
lower clock, because the voltage falls with it; traffic takes energy for each byte. Over a whole step:

    P(c) = idle + (c * E_arithmetic + E_traffic) / T(c)      c: clock over the rated one, T(c): time of the step
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from sslbench.bench.predict.efficiency import WINOGRAD, gpu_reach
from sslbench.bench.predict.gpu import GPU, larger
from sslbench.bench.predict.gpu_kernels import item_bytes, operator_kernels
from sslbench.bench.predict.kernel import Kernel
from sslbench.bench.predict.peak import peak_dtype
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Device, DType

IDLE_POWER_SHARE = 0.2
"""Part of a board's power that goes to leakage, fans and converters. An estimate."""
TRAFFIC_JOULES_PER_BYTE = 80e-12
"""Energy of a byte between memory and a multiprocessor. GDDR6 and HBM2 take 30 to 60 pJ a byte at the memory (JEDEC
and vendors' figures of 4 to 7.5 pJ a bit), and the way over the chip as much again; an estimate."""
LEAST_CLOCK = 0.35
"""Clock over the rated one below which no board goes. About the base clock of cards with low power limits."""
_STEPS = 8


class Energy(NamedTuple):
    """Joules that arithmetic takes at the rated clock."""

    matrix: float
    """Of a FLOP of 2-byte types in the matrix units."""
    lane: float
    """Of a FLOP in fp32."""


_ENERGIES = {
    "volta": Energy(2.8e-12, 18e-12),
    "turing": Energy(2.8e-12, 18e-12),
    "ampere": Energy(3.3e-12, 8e-12),
    "ampere 8.0": Energy(0.85e-12, 8e-12),
    "ada": Energy(1.7e-12, 5e-12),
    "hopper": Energy(0.9e-12, 5e-12),
    "blackwell": Energy(1.3e-12, 5e-12),
    "blackwell 10.0": Energy(0.5e-12, 5e-12),
}
"""By architecture, where a chip of its own has others with its compute capability. By what published matrix products
reach on boards that their power limits (tests/data/achieved_matmul.csv: V100, RTX A6000, A100 PCIe, H100, B200): an RTX
A6000 of 300 W reaches 61 % of its fp16 peak and an RTX 3090 Ti of 450 W, at half the rate, all of it; a V100 89 % of
its fp32 peak. Ada's is the most with which an RTX 4090 of 450 W still reaches all of its fp16 peak, as published."""
_TF32_ENERGY = 1.4
"""Energy of a FLOP in TF32 over that in a 2-byte type: an RTX A6000 reaches 78 % of its TF32 peak and 61 % in fp16."""


class Load(NamedTuple):
    """What kernels of one kind take together at the rated clock."""

    calls: int
    arithmetic_seconds: float
    traffic_seconds: float
    arithmetic_joules: float
    traffic_joules: float


def sustained(trace: Trace, device: Device) -> Device:
    """The device at the clock that its power allows on a step; as it is where nothing limits it or is known of it."""
    energy = _energy_of(device)
    if device.power_watts is None or energy is None:
        return device
    clock = clock_share(list(_loads(trace, device, energy)), device.power_watts.value)
    return device if clock == 1.0 else _at(device, clock)


def clock_share(loads: list[Load], watts: float) -> float:
    """The clock over the rated one at which the loads, over and over, take this power; 1 where they take less."""
    if _power(loads, 1.0, watts) <= watts:
        return 1.0
    low, high = LEAST_CLOCK, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _power(loads, middle, watts) > watts else (middle, high)
    return (low + high) / 2


def _power(loads: list[Load], clock: float, watts: float) -> float:
    seconds = sum(load.calls * larger(load.arithmetic_seconds / clock, load.traffic_seconds) for load in loads)
    joules = sum(load.calls * (clock * load.arithmetic_joules + load.traffic_joules) for load in loads)
    return IDLE_POWER_SHARE * watts + (joules / seconds if seconds else 0.0)


def _loads(trace: Trace, device: Device, energy: Energy) -> Iterator[Load]:
    gpu = GPU(device)
    for index, count in Counter(call.kind for call in trace.calls).items():
        kind = trace.kinds[index]
        dtype, size = peak_dtype(kind, device, trace), item_bytes(kind)
        for kernel in operator_kernels(kind):
            arithmetic, traffic = gpu.arithmetic_seconds(kernel, dtype, size), gpu.traffic_seconds(kernel, size)
            joules = _joules(kernel, dtype, energy), TRAFFIC_JOULES_PER_BYTE * kernel.bytes
            yield Load(count, arithmetic, traffic, *joules)


def _joules(kernel: Kernel, dtype: DType, energy: Energy) -> float:
    """Of one kernel's arithmetic at the rated clock."""
    product = kernel.product
    flops = kernel.flops
    if product is not None:
        flops = product.share * 2.0 * product.count * product.m * product.n * product.k
    if kernel.winograd and dtype == "fp32":
        flops /= WINOGRAD
    each = energy.lane if dtype == "fp32" else energy.matrix * (_TF32_ENERGY if dtype == "tf32" else 1.0)
    return flops * each + 2 * gpu_reach(kernel.family).instructions * kernel.elements * energy.lane


def _energy_of(device: Device) -> Energy | None:
    if device.kind != "cuda":
        return None
    capability = "{}.{}".format(*(device.compute_capability or (0, 0)))
    architecture = device.architecture or ""
    return _ENERGIES.get(f"{architecture} {capability}", _ENERGIES.get(architecture))


def _at(device: Device, clock: float) -> Device:
    note = f", at {clock:.0%} of its clock, which the power limit allows"
    peaks = {
        dtype: figure.model_copy(update={"value": figure.value * clock, "source": figure.source + note})
        for dtype, figure in device.peak_flops_per_second.items()
    }
    return device.model_copy(update={"peak_flops_per_second": peaks})
