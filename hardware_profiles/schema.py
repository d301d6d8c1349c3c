"""What a machine profile holds.

Every number is a `Figure`: the value, where it comes from, and whether it was read in a datasheet, derived from one, or
measured. Units stand in the names: bytes, bytes per second, FLOP per second, watts, US dollars. A probed machine
(`sslbench probe`) holds, beside its figures, the kernels that were timed on it.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA: Final = "sslbench.machine/1"

DeviceKind = Literal["cuda", "rocm", "mps", "cpu"]
DType = Literal["fp64", "fp32", "tf32", "fp16", "bf16", "int8"]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(_Table):
    """One number of a profile, with its origin."""

    value: PositiveFloat
    basis: Literal["datasheet", "derived", "measured"]
    source: str = Field(min_length=1)
    """Title or link of the document, the formula, or the measurement."""


class Point(_Table):
    """One size of a kernel, and how long one call took."""

    shape: tuple[int, ...] = ()
    """The kernel's sizes, in the order of `shape_names`; empty for a kernel that has none."""
    seconds: PositiveFloat
    """Median of the repeats."""


class KernelTiming(_Table):
    """A kernel that was timed on the device, over its sizes. Rates follow from the times, and are not kept."""

    kernel: str = Field(min_length=1)
    """As in `sslbench.kernels.micro`: `matmul`, `copy`, `dispatch`, ..."""
    dtype: DType
    shape_names: tuple[str, ...] = ()
    points: tuple[Point, ...]
    noise: float = Field(ge=0, allow_inf_nan=False)
    """Median over the points of the repeats' median absolute deviation, as a share of their median."""
    source: str = Field(min_length=1)


class Rated(_Table):
    """What datasheets promise of figures that were measured, or what follows from them."""

    memory_bandwidth_bytes_per_second: Figure | None = None
    peak_flops_per_second: dict[DType, Figure] = {}
    launch_seconds: Figure | None = None


class Device(_Table):
    """The part of a machine that runs the step: one accelerator, or the processor."""

    kind: DeviceKind
    vendor: str
    architecture: str
    """Lower-case generation: `volta`, `turing`, `ampere`, `ada`, `hopper`, `blackwell`, `apple-m3`, `x86-64`, ..."""
    compute_capability: tuple[int, int] | None = None
    """NVIDIA compute capability, as (major, minor)."""
    memory_bytes: Figure
    """Memory that the driver reports as total (nvidia-smi), which is less than the nominal size."""
    memory_kind: Literal["dedicated", "unified", "host"]
    memory_bandwidth_bytes_per_second: Figure
    context_bytes: Figure | None = None
    """Memory outside the allocator that a process takes (driver context, kernels); None: as today's PyTorch has it."""
    in_use_bytes: Figure | None = None
    """Memory that others hold all the time, such as a desktop."""
    l2_cache_bytes: Figure | None = None
    """Last-level cache (L2 on a GPU, L3 on a CPU)."""
    multiprocessors: int | None = Field(default=None, gt=0)
    """Streaming multiprocessors, compute units or cores."""
    peak_flops_per_second: dict[DType, Figure]
    """Dense peak (no sparsity) by input type, accumulating in fp32; a missing type has no fast path."""
    launch_seconds: Figure
    """Time between two small operators that eager PyTorch launches one after the other, each a kernel."""
    power_watts: Figure | None = None
    """Board power limit (TDP)."""
    rated: Rated | None = None
    """Beside measured figures."""
    kernels: tuple[KernelTiming, ...] = ()
    """What `sslbench probe` timed; empty for a machine that was not probed."""

    def kernel_points(self, kernel: str, dtype: DType) -> tuple[Point, ...]:
        """The timed sizes of a kernel; empty where it was not timed."""
        found = (timing.points for timing in self.kernels if (timing.kernel, timing.dtype) == (kernel, dtype))
        return next(found, ())


class Links(_Table):
    """What connects the devices of a machine, and several such machines."""

    kind: Literal["nvlink", "pcie", "host"]
    """`nvlink`: each to each; `pcie`: each to each over the bus; `host`: through the host's memory, no peer access."""
    bytes_per_second: Figure
    """Nominal rate of one device to the others together, in one direction."""
    devices: int = Field(default=8, gt=0)
    """Most of the device in one machine; more are several machines."""
    network_bytes_per_second: Figure | None = None
    """Nominal rate of one whole machine to the others, in one direction."""


class Price(_Table):
    """What one device costs."""

    rent_usd_per_hour: Figure | None = None
    buy_usd: Figure | None = None


class Processor(_Table):
    """The host's processor, as the system describes it."""

    name: str
    cores: int = Field(gt=0)
    """Physical cores that a process may use."""
    logical_cores: int = Field(gt=0)
    """Hardware threads of the machine."""
    instructions: tuple[str, ...] = ()
    """Those of `sslbench.hardware_profiles.processor.INSTRUCTIONS` that it has: `avx2`, `amx_bf16`, ..."""
    l1_cache_bytes: int | None = None
    """Data cache of one core."""
    l2_cache_bytes: int | None = None
    """Of one core, as Linux shows it."""
    l3_cache_bytes: int | None = None
    """Of the group of cores that share it with the first."""
    memory_channels: int | None = None
    """With a module in them; None where the system does not tell."""


class Probe(_Table):
    """What `sslbench probe` was run with: figures hold for this device with this software only."""

    device: str
    """The card's name as NVML has it, or the processor's."""
    torch: str
    """Version of PyTorch."""
    threads: int | None = None
    """That PyTorch computed on; None on a GPU."""
    date: str
    """UTC, as in 2026-01-31T12:00Z."""
    seconds: PositiveFloat
    """How long all took."""
    repeats: int = Field(default=1, gt=0)
    """Probes of which every size has its fastest."""
    warnings: tuple[str, ...] = ()
    """What makes the figures doubtful."""


class Machine(_Table):
    """A machine that a step may run on."""

    schema_: Literal["sslbench.machine/1"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    device: Device
    device_count: int = Field(default=1, gt=0)
    links: Links | None = None
    """Where several devices work on one step; None: not known."""
    price: Price = Price()
    processor: Processor | None = None
    probe: Probe | None = None
    notes: str = ""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)
