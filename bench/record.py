"""Records: a prediction or a measurement on disk, versioned JSON.

Units are in the names: bytes, seconds, joules, FLOP. A quantity that is unknown is null, and `unknown` says why.
Record files hold one record, a JSON array of records, or one record a line.
"""

# Format history; a reader accepts every version up to its own.
# sslbench.record/1 (0.1.0): first version. Later: `explain`, `data`, `utilization`, `phases`, `predicted`, `state`,
# `scaling`, `snapshot`, `failure`, `onnx`, `model_bytes`, `output_error`, `turns`, some fields of memory and time; null
# or empty in older records.

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from sslbench.bench.errors import RecordError
from sslbench.bench.recipe import Option, Recipe, first_problem
from sslbench.hardware_profiles.schema import Machine

SCHEMA: Literal["sslbench.record/1"] = "sslbench.record/1"
_SCHEMA_FAMILY, _, _SCHEMA_VERSION = SCHEMA.partition("/")

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
Bound = Literal["compute", "bandwidth", "launch"]
PhaseName = Literal["data", "forward", "backward", "optimizer", "other"]
FailureKind = Literal["out-of-memory", "killed", "crashed", "timed-out", "raised"]
Interval = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Environment(_Part):
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


class Memory(_Part):
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


class Time(_Part):
    """Time of one step."""

    step_seconds: float | None = None
    interval_seconds: Interval | None = None
    samples_per_second: float | None = None
    samples_seconds: list[float] = []
    """Measurements: every timed step, in order."""
    mad_seconds: float | None = None
    """Measurements: median absolute deviation of the samples from their median."""
    warmup_steps: int | None = None
    """Measurements: steps that were run before the timed ones."""
    tokens_per_second: float | None = None
    """For recipes with a `seq_len`: samples per second times tokens per sample."""


class Utilization(_Part):
    """How much of the machine's arithmetic a measured step uses."""

    flops_per_second: float
    """FLOP of the step, as its trace counts them, over the measured median."""
    peak_flops_per_second: float
    """What the machine can do in the recipe's precision."""
    peak_basis: Literal["datasheet", "measured", "derived"]
    model_flops_utilization: float
    """MFU: the first over the second (https://arxiv.org/abs/2204.02311, Appendix B, with FLOP counted by operator)."""


class PhaseMeasured(_Part):
    """One phase of a measured step, from a pass of its own."""

    name: PhaseName
    seconds: float | None = None
    """Median over the steps of the phase pass."""
    peak_allocated_bytes: int | None = None
    """Most bytes that tensors held during the phase."""


class Failure(_Part):
    """Why a measurement has no numbers."""

    kind: FailureKind
    phase: str
    """What the worker was doing: import, build, warm-up, timed steps, memory pass, ..."""
    steps_done: int
    message: str


class Predicted(_Part):
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


class GpuState(_Part):
    """What NVML said of the GPU."""

    temperature_celsius: int | None = None
    graphics_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    utilization: float | None = None
    """Share of the last sampling period in which a kernel ran, 0 to 1."""
    throttle_reasons: list[str] = []
    """Why the clocks are lower than they could be; empty: nothing holds them down."""
    other_processes: int | None = None
    """Processes on the GPU beside the worker."""
    other_utilization: float | None = None
    """Share of the GPU's time that they used, 0 to 1."""


class State(_Part):
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


class Rank(_Part):
    """One process of a step on several devices."""

    rank: int
    device: str
    step_seconds: float
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    resident_bytes: int | None = None


class Scaling(_Part):
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


class TakingTurns(_Part):
    """Backends that were measured at the same time: their steps were timed turn by turn."""

    run: str
    """The same in the records of all of them, and in no other."""
    backends: list[Backend]
    """Those that ran, in the order of their first turns."""
    steps: list[int]
    """Timed steps of each turn of this one."""


class Energy(_Part):
    """Energy of one step."""

    joules_per_step: float | None = None
    """None where there is no counter, never 0."""
    source: str | None = None
    """What the counter covers: the board of one GPU, or the processor packages; never the whole machine."""


class Work(_Part):
    """What one step computes and moves, from its trace."""

    flops: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    operators: int | None = None
    parameters: int | None = None


class Data(_Part):
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
    samples_seconds: list[float] = []
    """Every such step, in order."""
    limit: Literal["loader", "model"]
    """Which of the two by itself is slower."""


class Timeline(_Part):
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


class Alive(_Part):
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


class OperatorTime(_Part):
    """Predicted time of one operator, all its calls in a step together."""

    operator: str
    calls: int
    """0 for what no operator stands for: the system's handing out of fresh memory."""
    seconds: float
    bound: Bound
    """What most of its time goes to; `launch`: the host takes longer to launch it than the device to run it."""


class ConstantUsed(_Part):
    """A number that entered the prediction and is not the step's own."""

    name: str
    value: float
    unit: str
    meaning: str
    source: str
    """Where the number comes from."""


class Explanation(_Part):
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
    constants: list[ConstantUsed]


class Record(BaseModel):
    """One prediction or measurement."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, serialize_by_alias=True, allow_inf_nan=False
    )

    schema_: Literal["sslbench.record/1"] = Field(default=SCHEMA, alias="schema")
    kind: Literal["prediction", "measurement"]
    created: AwareDatetime
    backend: Backend
    recipe: Recipe
    machine: Machine
    environment: Environment
    command: list[str]
    """The sslbench arguments that make this record again."""
    memory: Memory = Memory()
    time: Time = Time()
    energy: Energy = Energy()
    work: Work = Work()
    data: Data | None = None
    """Measurements: real input, where files were given."""
    utilization: Utilization | None = None
    """Measurements: achieved FLOP per second against the machine's peak."""
    phases: list[PhaseMeasured] = []
    """Measurements: the parts of a step, in order, from a pass of their own."""
    predicted: Predicted | None = None
    """Measurements: what was predicted for the same recipe and machine."""
    state: State | None = None
    """Measurements: what else went on in the machine."""
    scaling: Scaling | None = None
    """Measurements: on several devices."""
    snapshot: str | None = None
    """Measurements: file of torch's memory snapshot (https://docs.pytorch.org/memory_viz), where one was asked for."""
    onnx: dict[str, Option] | None = None
    """Measurements in ONNX Runtime: every option of the session, `opset`, and whether the batch is `dynamic_batch`."""
    model_bytes: int | None = None
    """Measurements in ONNX Runtime: size of the exported model with its weights."""
    output_error: float | None = None
    """Measurements in ONNX Runtime: largest difference of the outputs from torch's in fp32, as a share of their largest
    value; of a training step that of the loss."""
    turns: TakingTurns | None = None
    """Measurements: beside other backends in one run."""
    failure: Failure | None = None
    """Measurements: why there are no numbers."""
    verdict: Verdict | None = None
    probability_fits: float | None = Field(default=None, ge=0, le=1)
    max_batch_size: int | None = None
    """Largest batch of this recipe predicted to fit; 0 where not even one sample does."""
    explain: Explanation | None = None
    """Predictions: what they rest on, where it was asked for."""
    unknown: dict[str, str] = {}
    """Why a null field is null, by its dotted path: `{"energy.joules_per_step": "no energy counter"}`."""
    warnings: list[str] = []
    """What makes a number doubtful."""


def load_records(path: Path) -> list[Record]:
    """Read one record, an array of records, or one record a line.

    Raises:
        RecordError: the file cannot be read, is not JSON, is of a newer schema, or lacks a field; names file and place.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors and shells begin a file with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise RecordError(f"{path}: {reason}") from error
    records = [_parse(table, where=f"{path}{place}") for place, table in _tables(text, path)]
    if not records:
        raise RecordError(f"{path}: holds no record")
    return records


def _tables(text: str, path: Path) -> list[tuple[str, Any]]:
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        return _lines(text, path, error)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: is not a record: a number is too long or the nesting too deep") from error
    if isinstance(whole, list):
        return [(f" record {number}", table) for number, table in enumerate(whole, 1)]
    return [("", whole)]


def _lines(text: str, path: Path, whole_error: json.JSONDecodeError) -> list[tuple[str, Any]]:
    tables: list[tuple[str, Any]] = []
    # Only newlines end a line: a JSON string may hold U+2028, at which str.splitlines would cut.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                tables.append((f" line {number}", json.loads(line)))
            except json.JSONDecodeError as error:
                # A file whose first line is JSON holds one record a line; any other is one JSON value, cut short.
                place = (number, error.colno) if tables else (whole_error.lineno, whole_error.colno)
                problem = f"{error.msg if tables else whole_error.msg} at line {place[0]} column {place[1]}"
                raise RecordError(f"{path}: is not JSON: {problem}") from error
            except (ValueError, RecursionError) as error:
                problem = "a number is too long or the nesting too deep"
                raise RecordError(f"{path} line {number}: is not a record: {problem}") from error
    return tables


def _parse(table: Any, *, where: str) -> Record:
    schema = table.get("schema") if isinstance(table, dict) else None
    if not isinstance(schema, str) or not schema.startswith(_SCHEMA_FAMILY + "/"):
        raise RecordError(f"{where}: is not a record of sslbench (its schema is {schema!r}, expected {SCHEMA!r})")
    version = schema.partition("/")[2]
    if version.isascii() and version.isdigit() and int(version[:9]) > int(_SCHEMA_VERSION):
        raise RecordError(
            f"{where}: was written by a newer sslbench ({schema}; this one reads {SCHEMA}): upgrade sslbench"
        )
    try:
        record = Record.model_validate(table)
        record.model_dump_json()
    except ValidationError as error:
        raise RecordError(f"{where}: {first_problem(error)}") from error
    except PydanticSerializationError as error:
        raise RecordError(f"{where}: holds half a surrogate pair, which is no Unicode text") from error
    return record


def dump_records(records: Sequence[Record]) -> str:
    """One record as a JSON object, several as a JSON array; ends with a newline."""
    tables = [record.model_dump(mode="json") for record in records]
    whole = tables[0] if len(tables) == 1 else tables
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is not Unicode reaches Python with lone surrogates (PEP 383); no UTF-8 file can hold them.
    return text.encode("utf-8", "replace").decode("utf-8")
