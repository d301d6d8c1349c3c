"""The parts of a record that only a measurement has."""

from typing import Literal

from pydantic import Field

from sslbench.bench.quantities import Backend, Memory, Part, Time, Verdict

PhaseName = Literal["data", "forward", "backward", "optimizer", "other"]
FailureKind = Literal["out-of-memory", "killed", "crashed", "timed-out", "raised"]


class Utilization(Part):
    """How much of the machine's arithmetic a measured step uses."""

    flops_per_second: float
    """FLOP of the step, as its trace counts them, over the measured median."""
    peak_flops_per_second: float
    """What the machine can do in the recipe's precision."""
    peak_basis: Literal["datasheet", "measured", "derived"]
    model_flops_utilization: float
    """MFU: the first over the second (https://arxiv.org/abs/2204.02311, Appendix B, with FLOP counted by operator)."""


class PhaseMeasured(Part):
    """One phase of a measured step, from a pass of its own."""

    name: PhaseName
    seconds: float | None = None
    """Median over the steps of the phase pass."""
    peak_allocated_bytes: int | None = None
    """Most bytes that tensors held during the phase."""


class Failure(Part):
    """Why a measurement has no numbers."""

    kind: FailureKind
    phase: str
    """What the worker was doing: import, build, warm-up, timed steps, memory pass, ..."""
    steps_done: int
    message: str


class Predicted(Part):
    """The prediction for the recipe and the machine of a measurement."""

    memory: Memory
    time: Time
    verdict: Verdict | None = None
    max_batch_size: int | None = None
    memory_error: float | None = None
    """Predicted over measured `required_bytes`, less 1."""
    allocated_error: float | None = None
    """The same of `peak_allocated_bytes`."""
    time_error: float | None = None
    """The same of `step_seconds`."""


class GpuState(Part):
    """What NVML said of the GPU."""

    temperature_celsius: int | None = None
    graphics_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    utilization: float | None = None
    """Share of the last sampling period in which a kernel ran, 0 to 1."""
    throttle_reasons: list[str] = Field(default_factory=list)
    """Why the clocks are lower than they could be; empty: nothing holds them down."""
    other_processes: int | None = None
    """Processes on the GPU beside the worker."""
    other_utilization: float | None = None
    """Share of the GPU's time that they used, 0 to 1."""


class State(Part):
    """State of the machine around the timed steps."""

    governor: str | None = None
    """The cores' frequency governor, `mixed` where they differ."""
    frequency_mhz: float | None = None
    """Mean over the cores, just after the timed steps."""
    load_average: float | None = None
    """Over the last minute, before the worker began."""
    smt: bool | None = None
    """Whether cores run several threads at once."""
    container: str | None = None
    """`docker`, `podman`, `kubernetes`, ...; None: no sign of one."""
    cpu_limit: float | None = None
    """Cores that the control group allows; None: no limit."""
    memory_limit_bytes: int | None = None
    """Of the control group; None: no limit."""
    throttled_seconds: float | None = None
    """How long the control group held the processors back during the timed steps."""
    swap_used_bytes: int | None = None
    others_cpu_share: float | None = None
    """Share of all cores that other programs kept busy during the timed steps, 0 to 1."""
    gpu_before: GpuState | None = None
    gpu_after: GpuState | None = None


class Rank(Part):
    """One process of a step on several devices."""

    rank: int
    device: str
    step_seconds: float
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    resident_bytes: int | None = None


class Scaling(Part):
    """A step on several devices, each with the recipe's batch (weak scaling)."""

    devices: int
    strategy: Literal["ddp", "fsdp"]
    communication: str
    """The library between the devices: gloo or nccl."""
    ranks: list[Rank]
    single_step_seconds: float | None = None
    """The same step on one device, measured just before."""
    efficiency: float | None = None
    """That over the step on all devices: 1 where communication costs nothing."""


class TakingTurns(Part):
    """Backends that were measured at the same time: their steps were timed turn by turn."""

    run: str
    """The same in the records of all of them, and in no other."""
    backends: list[Backend]
    """Those that ran, in the order of their first turns."""
    steps: list[int]
    """Timed steps of each turn of this one."""
    session: str = ""
    """The same in all launches of one `ab`, of both sides, and in no other record; empty elsewhere."""


class Data(Part):
    """A step fed with real input, beside `time`, which has the same step on synthetic input."""

    kind: Literal["images", "text"]
    source: str
    """The folder or file, as it was given."""
    items: int
    """Files, or stretches of text, in it."""
    workers: int
    """Processes that load; 0: the one that runs the step."""
    loader_samples_per_second: float
    """What the loader gives by itself, without the model."""
    step_seconds: float
    """Mean of the steps that it fed."""
    samples_per_second: float
    """Of these steps."""
    samples_seconds: list[float] = Field(default_factory=list)
    """Every such step, in order."""
    limit: Literal["loader", "model"]
    """Which of the two by itself is slower."""
