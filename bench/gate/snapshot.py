"""Snapshots: what traced steps cost and where, as a JSON file that lies in a repository beside the code.

The file holds only what follows from the code and the versions: no time, no host, no absolute path. Made again from the
same code with the same versions it is the same to the byte. Units are in the names: bytes, FLOP. Imports no torch.
"""

# Format history; a reader accepts every version up to its own.
# sslbench.snapshot/1 (0.1.0): first version.

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from sslbench.bench.errors import SnapshotError
from sslbench.bench.files import write_atomically
from sslbench.bench.quantities import Part
from sslbench.bench.recipe import Option, first_problem

SCHEMA: Literal["sslbench.snapshot/1"] = "sslbench.snapshot/1"
_FAMILY, _, _VERSION = SCHEMA.partition("/")
_WIDTH = 200
"""A table or list of single values stands on one line of the file if it fits: such lines compare well in a diff."""

KEPT = "kept"
"""In place of the phase in which a storage is freed: it outlives the step."""


class TargetDevice(Part):
    """The kind of device that a step is traced for."""

    name: str
    """As the user said it: `cuda`, `cuda:9.0`, `cpu`, `cpu:16`, or a machine."""
    device: Literal["cuda", "cpu"]
    capability: tuple[int, int] | None = None
    """Compute capability of a CUDA device whose kernels are traced."""
    threads: int | None = None
    """Threads of a CPU's kernels, on which their temporaries depend."""


class Stored(Part):
    """Storages that one operator makes at one site, and that live equally long.

    Counted are those of the part of the trace that holds the peak, and all that are alive at the peak.
    """

    category: str
    operator: str
    born: str
    """Phase: build, forward, backward or optimizer."""
    dies: str
    """Phase, or `kept`."""
    count: int
    bytes: int
    peak_count: int
    """Those of them that are alive at the peak."""
    peak_bytes: int


class Called(Part):
    """Calls of one operator at one site, in one phase of the steady step."""

    operator: str
    phase: str
    count: int
    launches: int
    """Estimate of the kernels that they launch; views launch none."""
    flops: int
    bytes_moved: int
    """Read and written, each operand once."""


class Site(Part):
    """A source line in a module, or in all repetitions of a block."""

    module: str
    """Path, with `*` for numbers; empty outside every module."""
    line: str
    """`path:number`, relative to the project or package; empty where it is not known. In backward that of the forward
    operator."""
    text: str
    """What the line says."""
    storages: tuple[Stored, ...] = ()
    calls: tuple[Called, ...] = ()


class PeakMemory(Part):
    """Memory of the step at its peak. Of an allocator without a limit."""

    peak_requested_bytes: int
    """Most bytes that tensors held at one time, before an allocator rounds (`requested_bytes` of
    torch.cuda.memory_stats)."""
    peak_allocated_bytes: int
    """The same as CUDA's caching allocator counts it, with cuDNN's workspace; on a CPU the same number."""
    peak_reserved_bytes: int | None = None
    """Most bytes that the caching allocator held from the device; None on a CPU, which has none."""
    workspace_bytes: int
    """The workspace in it."""
    part: Literal["build", "first step", "second step"]
    """Part of the trace that holds the peak; the second step is what every later one repeats."""
    phase: str


class TotalWork(Part):
    """What the steady step computes, moves and launches."""

    flops: int
    bytes_moved: int
    operators: int
    kernel_launches: int
    """An estimate: the kernels that each operator is known to launch."""
    parameters: int
    """Parameter elements, tied ones counted once."""


class GraphBreaks(Part):
    """Where torch.compile falls back to Python (torch._dynamo.explain)."""

    graphs: int
    breaks: int
    reasons: tuple[str, ...]


class OnnxGraph(Part):
    """The exported inference step: nodes by operator."""

    opset: int
    nodes: int
    operators: dict[str, int]


class StepSnapshot(Part):
    """One step on one kind of device."""

    recipe: str
    """As the user said it: a catalog name, a TOML, `file.py:function`."""
    changes: dict[str, Any]
    """What the user changed in the recipe, as the command line's options do."""
    resolved: dict[str, Any]
    """The recipe that was traced; what equals the default is left out."""
    target: TargetDevice
    memory: PeakMemory
    work: TotalWork
    graph: GraphBreaks | None = None
    """None: not asked for."""
    onnx: OnnxGraph | None = None
    """None: not asked for."""
    sites: tuple[Site, ...]

    @property
    def title(self) -> str:
        """The recipe with its changes, as the user would type them: `my_step.py:build batch_size=8`."""
        options: dict[str, Option] = {k: v for k, v in self.changes.items() if k != "options"}
        options |= self.changes.get("options", {})
        return " ".join([self.recipe, *(f"{key}={value}" for key, value in options.items())])


class Snapshot(Part):
    """Some steps, and the versions that they were traced with."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    schema_: Literal["sslbench.snapshot/1"] = Field(default=SCHEMA, alias="schema")
    versions: dict[str, str]
    """Of Python and of the packages that the steps go through, without build tags such as `+cu128`."""
    steps: tuple[StepSnapshot, ...]


def is_snapshot(path: Path) -> bool:
    """Whether a file says of itself that it is a snapshot, of any version; a file that cannot be read is none."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return f'"{_FAMILY}/' in file.read(200)
    except (OSError, UnicodeDecodeError):
        return False


def load_snapshot(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        SnapshotError: the file cannot be read, is no snapshot, is of a newer schema or lacks a field.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SnapshotError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path}: is no JSON file: {error}") from error
    schema = table.get("schema") if isinstance(table, dict) else None
    if not isinstance(schema, str) or not schema.startswith(_FAMILY + "/"):
        raise SnapshotError(
            f"{path}: is no snapshot (its schema is {schema!r}): `sslbench snapshot -o FILE` writes one"
        )
    if schema != SCHEMA:
        raise SnapshotError(f"{path}: has schema {schema}, and this sslbench reads {SCHEMA}: upgrade sslbench")
    try:
        return Snapshot.model_validate(table)
    except ValidationError as error:
        raise SnapshotError(f"{path}: {first_problem(error)}") from error


def dump_snapshot(snapshot: Snapshot) -> str:
    """The snapshot's file: keys in a fixed order, one row a line."""
    return _pretty(snapshot.model_dump(mode="json", exclude_none=True), "") + "\n"


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write the snapshot's file.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(path, dump_snapshot(snapshot))


def _pretty(value: Any, indent: str) -> str:
    members = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    short = json.dumps(value, ensure_ascii=False)
    if not any(isinstance(member, dict | list) and member for member in members) and len(short) <= _WIDTH:
        return short
    inner = indent + " "
    if isinstance(value, dict):
        rows = [f"{json.dumps(key, ensure_ascii=False)}: {_pretty(member, inner)}" for key, member in value.items()]
    elif isinstance(value, list):
        rows = [_pretty(member, inner) for member in value]
    else:
        return short
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(rows) + f"\n{indent}{closing}"
