"""Time of a kernel on a GPU: the largest of its arithmetic, its instructions and its traffic, and its start and end."""

from dataclasses import dataclass
from functools import cached_property

from sslbench.bench.predict.efficiency import (
    BANDWIDTH_PASSES,
    FULL_RATE_BYTES_PER_CLOCK,
    FULL_RATE_TENSOR_CORES,
    HALF_ON_WIDE_MEMORY,
    KERNEL_SECONDS,
    L2_COST,
    L2_KEPT,
    LANES_PRODUCTS,
    MEMORY_LATENCY_CLOCKS,
    WARP_PRODUCTS,
    WIDE_MEMORY_BYTES_PER_CLOCK,
    WINOGRAD,
    gpu_reach,
)
from sslbench.bench.predict.gemm import MatrixUnits, product_seconds
from sslbench.bench.predict.kernel import Family, Kernel
from sslbench.hardware_profiles.schema import Device, DType

ROUNDING = 3.0
"""Order of the norm that rounds off the larger of two times where both count. Chosen once; 2 and 4 fit as well."""
_VALUE_BY_VALUE: frozenset[Family] = frozenset(
    {
        "batch normalisation",
        "batch normalisation backward",
        "group normalisation",
        "group normalisation backward",
        "layout conversion",
        "pooling",
        "strided copy",
        "interpolation",
    }
)
"""Families whose threads load one value at a time; others load 8 or 16 bytes, whatever the type."""
_HALF_THE_LANES = ((6, 0), (7, 0), (7, 2), (7, 5), (8, 0))
"""Compute capabilities with 64 fp32 lanes a multiprocessor; others have 128. All start 128 instructions a clock."""
_STARTED = 128
_DEFAULT_L2_BYTES = 6 * 2**20


@dataclass(frozen=True)
class GPU:
    """What a device offers a kernel, from its profile."""

    device: Device

    @cached_property
    def instructions_per_second(self) -> float:
        """Instructions of single lanes that all multiprocessors start in a second."""
        lanes = 64 if self.device.compute_capability in _HALF_THE_LANES else 128
        rated = self.device.rated.peak_flops_per_second if self.device.rated else {}
        # The rated one tells the clock; what a product was measured to reach does not.
        fp32 = rated.get("fp32", self.device.peak_flops_per_second["fp32"])
        return fp32.value / 2 * _STARTED / lanes

    @cached_property
    def bandwidth(self) -> float:
        """Memory bandwidth, bytes a second."""
        return self.device.memory_bandwidth_bytes_per_second.value

    @cached_property
    def l2_bytes(self) -> float:
        """Size of the L2 cache; that of most cards where the profile does not tell."""
        figure = self.device.l2_cache_bytes
        return figure.value if figure else _DEFAULT_L2_BYTES

    @cached_property
    def clock_hertz(self) -> float:
        """Rated boost clock; that of a usual GPU where the multiprocessors are not known."""
        count = self.device.multiprocessors
        return self.instructions_per_second / _STARTED / count if count else 1.5e9

    @cached_property
    def wide_memory(self) -> bool:
        """Whether its memory moves more a clock than half-precision kernels keep in flight."""
        count = self.device.multiprocessors
        return bool(count) and self.bandwidth / (count or 1) / self.clock_hertz > WIDE_MEMORY_BYTES_PER_CLOCK

    def arithmetic_seconds(self, kernel: Kernel, dtype: DType, item_bytes: int) -> float:
        """What the matrix units and the lanes need; `dtype`: the type whose peak bounds it."""
        reach, peak = gpu_reach(kernel.family), self.device.peak_flops_per_second[dtype].value
        seconds = self._matrix_seconds(kernel, peak, item_bytes) * reach.arithmetic
        if self._is_full_rate(peak, item_bytes):
            seconds *= FULL_RATE_TENSOR_CORES
        if self._lacks_old_rate and "attention" in kernel.family:
            seconds *= WARP_PRODUCTS
        if dtype == "fp32":
            seconds *= LANES_PRODUCTS / (WINOGRAD if kernel.winograd else 1.0)
        issued = reach.instructions * kernel.elements / self.instructions_per_second
        serial = kernel.serial_steps * MEMORY_LATENCY_CLOCKS / self.clock_hertz
        return larger(larger(seconds, issued), serial)

    def _is_full_rate(self, peak: float, item_bytes: int) -> bool:
        """Whether the matrix units run at the rate of a workstation's or a server's card, not at that of a GeForce."""
        count = self.device.multiprocessors
        return bool(count) and peak * item_bytes / (count or 1) / self.clock_hertz > FULL_RATE_BYTES_PER_CLOCK

    @cached_property
    def _lacks_old_rate(self) -> bool:
        """Whether products of single warps, as FlashAttention-2 has them, miss the full rate of the matrix units."""
        return self.device.compute_capability in ((9, 0), (10, 0))

    def _matrix_seconds(self, kernel: Kernel, peak: float, item_bytes: int) -> float:
        product, count = kernel.product, self.device.multiprocessors
        if product is None:
            return kernel.flops / peak
        if count is None:
            return product.share * 2.0 * product.count * product.m * product.n * product.k / peak
        return product_seconds(product, MatrixUnits(peak, count, self.clock_hertz, item_bytes))

    def traffic_seconds(self, kernel: Kernel, item_bytes: int) -> float:
        """What memory and the L2 cache need."""
        passes = BANDWIDTH_PASSES * gpu_reach(kernel.family).passes
        if self.wide_memory and item_bytes == 2 and kernel.family in _VALUE_BY_VALUE:
            passes *= HALF_ON_WIDE_MEMORY
        kept = L2_KEPT * self.l2_bytes
        missed = kernel.bytes / (kernel.bytes + kept) if kernel.bytes else 0.0
        return passes * kernel.bytes / self.bandwidth * (missed + (1 - missed) * L2_COST)

    def kernel_seconds(self, kernel: Kernel, dtype: DType, item_bytes: int) -> float:
        """Time of one kernel from its start to the start of the next."""
        arithmetic = self.arithmetic_seconds(kernel, dtype, item_bytes)
        return larger(arithmetic, self.traffic_seconds(kernel, item_bytes)) + KERNEL_SECONDS


def larger(first: float, second: float, order: float = ROUNDING) -> float:
    """The larger of two times, rounded off where they are close (the norm of this order; 1 adds them)."""
    if not first or not second:
        return first + second
    return float((first**order + second**order) ** (1 / order))
