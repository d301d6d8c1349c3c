"""What crosses between the measuring parent and its worker: one specification in, JSON lines out.

The worker's events, one JSON object a line:

- `{"event": "phase", "name": "build"}`: a phase began; see `PHASES`.
- `{"event": "step", "done": 3, "total": 23}`: warm-up and timed steps done so far and expected in all (null: not known
  yet), at most twenty lines a second.
- `{"event": "result", "outcome": {...}}`: the last line of a worker that succeeded; see `Outcome`.
- `{"event": "error", "kind": "ValueError", "message": "...", "place": "a.py:12"}`: the last line of one that failed.

A worker that takes turns with others (`Spec.in_turns`) is told after its warm-up when to run. It says

- `{"event": "turn", "steps": 12, "median": 0.031, "enough": false, "spent": false}`: it waits; its last turn timed so
  many steps of this median in seconds (0 and null: it is warm), whether they are precise enough in all, and whether its
  seconds are spent,

and the answer is a line on its standard input: `run` for one more turn, `end` to go on with the memory pass.

Standard library only: the worker that times ONNX Runtime holds nothing that it does not need.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Phase = Literal[
    "import",
    "build",
    "export",
    "verify",
    "warm-up",
    "timed steps",
    "memory pass",
    "phase pass",
    "loader alone",
    "steps fed by the loader",
    "tensor count",
    "prediction",
]
TIMED_PHASE: Phase = "timed steps"
MEMORY_PHASE: Phase = "memory pass"
RUN, END = b"run\n", b"end\n"
"""Answers to a worker that waits for its turn."""
Task = Literal["torch", "onnx-export", "onnx-run", "onnx-train-export", "onnx-train-run", "predict", "distributed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a worker shall do."""

    task: Task
    backend: str
    recipe: dict[str, Any]
    """Fields of the recipe; a plain table, so that reading it imports nothing."""
    steps: int | None
    """Timed steps; None: until `tolerance` is met."""
    warmup: int | None
    """Steps before them; None: until they are steady."""
    tolerance: float
    """Half the width of the median's 95 % interval, as a share of it, at which enough steps were timed."""
    max_seconds: float
    """Warm-up and timed steps stop after this long, the last step completed."""
    devices: int = 1
    strategy: str = "ddp"
    """`ddp` or `fsdp`, for several devices."""
    memory_limit_bytes: int | None = None
    """Most that the worker may hold: GPU memory through torch's allocator, else resident memory."""
    snapshot: str = ""
    """File for torch's memory snapshot; empty: none."""
    onnx: dict[str, Any] = field(default_factory=dict)
    """Options of ONNX Runtime, see `sslbench.bench.onnx.settings`."""
    in_turns: bool = False
    """Whether steps are timed in turns with other workers."""
    turn_seconds: float | None = None
    """How long each of its turns lasts; None: long enough for all that is measured."""
    details: bool = True
    """Whether phases, and the bytes of tensors on the processor, are measured in passes after the memory pass."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables of the worker's process, beside those of its parent."""
    folder: str = ""
    """Where the exported model, its inputs and its outputs are."""
    gpu_uuid: str = ""
    """NVML's identity of the card, for its energy counter."""
    source: dict[str, Any] = field(default_factory=dict)
    """Fields of the `Source` of real input; empty: synthetic input alone."""
    machine: dict[str, Any] = field(default_factory=dict)
    """Fields of the machine that the task `predict` predicts for."""

    def to_line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a worker measured. Bytes, seconds, joules; None where `unknown` says why."""

    samples_seconds: list[float] = field(default_factory=list)
    waited_seconds: list[float] = field(default_factory=list)
    """Of each timed step, how long its thread was ready and had no processor; empty where the system does not tell."""
    turns: list[int] = field(default_factory=list)
    """Timed steps of each turn, where workers took turns."""
    warmup_steps: int = 0
    recipe: dict[str, Any] = field(default_factory=dict)
    """The recipe as it ran, with the sizes that a factory has as defaults; empty where it ran as it was."""
    threads: int | None = None
    baseline_bytes: int | None = None
    """Resident bytes of the process before the step was built."""
    peak_resident_bytes: int | None = None
    """Most resident bytes from the first step on; None where the system keeps no high-water mark."""
    unique_bytes: int | None = None
    minor_page_faults: int | None = None
    major_page_faults: int | None = None
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    phases: list[dict[str, Any]] = field(default_factory=list)
    """Fields of the record's `PhaseMeasured`, in order."""
    ranks: list[dict[str, Any]] = field(default_factory=list)
    """Fields of the record's `Rank`, for several devices."""
    single_step_seconds: float | None = None
    """Of the step on one of several devices."""
    communication: str = ""
    """The library between several devices."""
    others_cpu_share: float | None = None
    """Share of all cores that other programs kept busy during the timed steps."""
    joules_per_step: float | None = None
    energy_source: str | None = None
    onnx: dict[str, Any] = field(default_factory=dict)
    """How ONNX Runtime ran the step: every option, as the record has it."""
    model_bytes: int | None = None
    """Size of the exported model with its weights."""
    output_error: float | None = None
    """Largest difference of its outputs from torch's in fp32, as a share of the largest value."""
    items: int | None = None
    """Files, or stretches of text, of real input."""
    loader_samples_per_second: float | None = None
    """Of real input, without the model."""
    fed_samples_seconds: list[float] = field(default_factory=list)
    """Every timed step that was fed by the loader."""
    prediction: dict[str, Any] = field(default_factory=dict)
    """Of the task `predict`: the record of the prediction, and `peak`, the type that most of its FLOP are of."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Why a field of the record is null, by its dotted path."""
    warnings: list[str] = field(default_factory=list)
