"""The parts of a record that predictions and measurements share: where, with what, and the step's quantities.

Units are in the names: bytes, seconds, joules, FLOP. `sslbench.bench.record` puts the parts together.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["fits", "tight", "does-not-fit", "spills"]
Backend = Literal[
    "torch-cuda",
    "torch-cpu",
    "torch-mps",
    "torch-xpu",
    "onnx-cpu",
    "onnx-cuda",
    "onnx-tensorrt",
    "onnx-openvino",
    "onnx-coreml",
    "onnx-directml",
    "onnx-migraphx",
    "onnx-rocm",
    "onnx-qnn",
]
Category = Literal["parameter", "gradient", "optimizer state", "activation", "input", "buffer", "temporary"]
Strategy = Literal["ddp", "fsdp"]
"""How several devices share a training step; see `sslbench.kernels.parallel`."""
Interval = tuple[float, float]


class Part(BaseModel):
    """What all parts have in common: later versions may add fields, and no value is infinite or NaN."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Environment(Part):
    """Software and host that produced the record."""

    sslbench: str
    python: str
    platform: str
    processor: str
    logical_cores: int
    memory_bytes: int
    packages: dict[str, str]
    """Version by distribution name: torch, transformers, onnxruntime, ..."""
    threads: int | None = None
    """Measurements: CPU threads that the framework computed with."""
    commit: str | None = None
    """Measurements: git commit of the step's own code, or else of the folder that the command ran in."""
    uncommitted: bool | None = None
    """Measurements: whether files that git knows differed from that commit."""


class Memory(Part):
    """Memory of one step on the device (or, on a CPU, of the process)."""

    peak_allocated_bytes: int | None = None
    """Most bytes that tensors held at one time."""
    peak_reserved_bytes: int | None = None
    """Most bytes that the framework's allocator held from the device."""
    fixed_overhead_bytes: int | None = None
    """Driver context and libraries, outside the allocator; on a CPU the process before the step."""
    required_bytes: int | None = None
    """What nvidia-smi (or, on a CPU, the resident set size) shows at the peak."""
    interval_bytes: Interval | None = None
    """90 % interval of `required_bytes`."""
    allocated_interval_bytes: Interval | None = None
    """Predictions: 90 % interval of `peak_allocated_bytes`."""
    reserved_interval_bytes: Interval | None = None
    """Predictions: 90 % interval of `peak_reserved_bytes`."""
    capacity_bytes: int | None = None
    """What the machine has for it."""
    unique_bytes: int | None = None
    """Measurements: the worker's unique set size (USS) after the memory pass: RSS without pages that others share."""
    device_used_bytes: int | None = None
    """Measurements: most that the whole device held, all processes together, as NVML shows it."""
    minor_page_faults: int | None = None
    """Measurements: pages that the kernel mapped during the memory pass without reading a disk, a step."""
    major_page_faults: int | None = None
    """Measurements: pages that it had to read from a disk during the memory pass."""
    breakdown: dict[str, int] = {}
    """Bytes alive at the allocated peak, by category."""


class Time(Part):
    """Time of one step."""

    step_seconds: float | None = None
    interval_seconds: Interval | None = None
    samples_per_second: float | None = None
    samples_seconds: list[float] = []
    """Measurements: every timed step, in order."""
    mad_seconds: float | None = None
    """Measurements: median absolute deviation of the samples from their median."""
    waited_seconds: list[float] = []
    """Measurements with one thread, on Linux: of every timed step, how long that thread was ready to run and had no
    processor, which other programs used."""
    warmup_steps: int | None = None
    """Measurements: steps that were run before the timed ones."""
    tokens_per_second: float | None = None
    """For recipes with a `seq_len`: samples per second times tokens per sample."""


class Energy(Part):
    """Energy of one step."""

    joules_per_step: float | None = None
    """None where there is no counter, never 0."""
    interval_joules: Interval | None = None
    """Predictions: 90 % interval of it."""
    source: str | None = None
    """What the counter covers: the board of one GPU, or the processor packages; never the whole machine."""


class Work(Part):
    """What one step computes and moves, from its trace."""

    flops: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    operators: int | None = None
    parameters: int | None = None
