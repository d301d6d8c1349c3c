"""What a machine profile holds.

Every number is a `Figure`: the value, where it comes from, and whether it was read in a datasheet, derived from one, or
measured. Units stand in the names: bytes, bytes per second, FLOP per second, watts, US dollars.
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
    """Time between two small operators that eager PyTorch launches one after the other."""
    power_watts: Figure | None = None
    """Board power limit (TDP)."""


class Price(_Table):
    """What one device costs."""

    rent_usd_per_hour: Figure | None = None
    buy_usd: Figure | None = None


class Machine(_Table):
    """A machine that a step may run on."""

    schema_: Literal["sslbench.machine/1"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    device: Device
    device_count: int = Field(default=1, gt=0)
    price: Price = Price()
    notes: str = ""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)
