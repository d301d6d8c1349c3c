"""The parts of a record that say what a prediction rests on (`fit --explain`, `fit --measured`)."""

from typing import Literal

from sslbench.bench.quantities import Part, Time
from sslbench.hardware_profiles.schema import DType, PositiveFloat

Bound = Literal["compute", "bandwidth", "launch"]


class Timeline(Part):
    """Bytes of tensors alive during one part of the trace, at some of its moments; the peak is one of them.

    Moments follow each other as allocations and frees do; their distance is no time.
    """

    part: Literal["build", "first step", "second step"]
    """The part that holds the peak; the second step is what every later one repeats."""
    events: int
    """Allocations and frees of the part."""
    positions: list[int]
    """Number of each moment's event within the part."""
    bytes: dict[str, list[int]]
    """By category, the bytes alive at each moment, before an allocator rounds."""
    phases: list[tuple[str, int]]
    """Every change of phase (build, forward, backward, optimizer) and the number of the first event after it."""
    peak_at: int | None
    """Index into `positions`; None where nothing is allocated."""


class Alive(Part):
    """Storages alive at the peak that one line made in one module, or in its repetitions, for the same end."""

    module: str
    """Path, with `*` for numbers: repeated blocks count together; empty outside every module."""
    category: str
    bytes: int
    storages: int
    operator: str
    """What made them."""
    line: str
    """Source line behind it, as `path:line`; for gradients and backward's temporaries that of the forward operator."""


class OperatorTime(Part):
    """Predicted time of one operator, all its calls of a step that launch the same family of kernels together."""

    operator: str
    calls: int
    """0 for what no operator stands for: the system's handing out of fresh memory."""
    seconds: float
    bound: Bound
    """What most of its time goes to; `launch`: the host takes longer to launch it than the device to run it."""
    family: str = ""
    """Family of its kernel with most arithmetic; empty where none stands for it."""
    dtype: DType | None = None
    """Type whose peak bounds its FLOP; None without FLOP."""
    flops: int = 0
    """Floating-point operations, a multiply-add counted as two; 0 for what only moves data, or is not counted."""
    bytes: int = 0
    """Read and written, each operand once."""


class ConstantUsed(Part):
    """A number that entered the prediction and is not the step's own."""

    name: str
    value: float
    unit: str
    meaning: str
    source: str
    """Where the number comes from."""


class Explanation(Part):
    """What a prediction rests on (`fit --explain`)."""

    timeline: Timeline
    phase_peaks_bytes: dict[str, int]
    """Most bytes of tensors alive in each phase of the second step, and while building."""
    alive_at_peak: list[Alive]
    """Largest first; together the record's `memory.breakdown`."""
    device_seconds: float
    """What the operators need on the device, if it is never kept waiting."""
    launch_seconds: float
    """What the host needs to launch them, one after the other."""
    operators: list[OperatorTime]
    """Longest first; together `device_seconds`."""
    cache_bytes_per_second: float | None = None
    """Rate of what stays in a GPU's L2 cache between two kernels."""
    constants: list[ConstantUsed]


class MeasuredElsewhere(Part):
    """A step that was measured, beside what is predicted where it was measured."""

    recipe: str
    batch_size: int | None
    machine: str
    """Title of the machine that it was measured on."""
    step_seconds: PositiveFloat
    predicted_seconds: PositiveFloat


class Sharpening(Part):
    """How measurements elsewhere changed a predicted time (`fit --measured`)."""

    measured: list[MeasuredElsewhere]
    unsharpened: Time
    """What was predicted without them."""
