"""What a trace holds: the storages and operators of a step, in order. Plain data, no torch."""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

Target = Literal["cuda", "cpu"]
Shape = tuple[int, ...]

PHASES = ("build", "forward", "backward", "optimizer")
BUILD, FORWARD, BACKWARD, OPTIMIZER = range(4)

CATEGORIES = ("parameter", "gradient", "optimizer state", "activation", "input", "buffer", "temporary")
WORKSPACE = "library workspace"
"""Named as the operator of the storages that libraries keep."""
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


def module_pattern(path: str) -> str:
    """A module's path with `*` for its numbers, which all repetitions of a block share."""
    return _NUMBER.sub("*", path)


@dataclass(frozen=True, slots=True)
class OperatorKind:
    """An operator with its shapes: all calls that cost the same share one."""

    name: str
    """ATen name with overload, such as `aten.addmm.default`."""
    inputs: tuple[tuple[str, Shape], ...]
    """Element type and shape of every tensor input, in order."""
    flops: int
    """Floating-point operations, a multiply-add counted as two."""
    bytes_read: int
    bytes_written: int
    is_view: bool = False
    """Launches nothing: only the tensor's description changes."""
    channels_last: bool = False
    """Whether its images lie in memory as NHWC, not as NCHW."""


@dataclass(frozen=True, slots=True)
class Call:
    """One operator call of the steady step."""

    kind: int
    """Index into `Trace.kinds`."""
    phase: int
    """Index into `PHASES`."""
    module: int
    """Module whose forward runs, in backward that of the forward operator; an index into `Trace.modules`."""
    line: int = 0
    """Source line behind it, an index into `Trace.lines`."""
    reads: tuple[int, ...] = ()
    """Storages of the tensors that it takes, indices into `Trace.storages`; none for a view."""
    writes: tuple[int, ...] = ()
    """Those of the tensors that it makes or changes."""


@dataclass(frozen=True, slots=True)
class Storage:
    """One allocation: bytes asked for (before the allocator rounds), and where it comes from."""

    size: int
    """Bytes."""
    category: str
    phase: int
    """Phase of its birth, an index into `PHASES`."""
    module: int
    """Module that holds it (parameters, gradients, optimizer states), else whose forward made it or whose backward; an
    index into `Trace.modules`."""
    operator: str
    """Operator that made it."""
    line: int = 0
    """Source line behind it, an index into `Trace.lines`."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Build and two steps, as the target device would allocate and compute them.

    Two steps, because the optimizer's state is born in the first. `events` tells the life of the storages:
    `i >= 0` allocates `storages[i]`, `~i` frees it.
    """

    target: Target
    batch_size: int | None
    storages: tuple[Storage, ...]
    events: tuple[int, ...]
    marks: tuple[int, ...]
    """Index into `events` at the start of step 1, of step 2, and the end."""
    phase_marks: tuple[tuple[int, int], ...]
    """(index into `events`, phase) of every change of phase."""
    kinds: tuple[OperatorKind, ...]
    calls: tuple[Call, ...]
    """Operators of the second step."""
    modules: tuple[str, ...]
    parameters: int
    """Parameter elements, tied ones counted once."""
    tf32_matmul: bool = False
    """Whether fp32 matrix products may run in TF32."""
    tf32_convolution: bool = True
    """Whether fp32 convolutions may run in TF32 (torch's default)."""
    lines: tuple[str, ...] = ("",)
    """Source lines as `path:line`, such as `my_step.py:14`; the empty one is not known."""

    def to_json(self) -> dict[str, Any]:
        """The trace as JSON-ready columns (a tenth of the size of rows)."""
        return {
            "target": self.target,
            "batch_size": self.batch_size,
            "storages": _columns(self.storages, Storage),
            "events": self.events,
            "marks": self.marks,
            "phase_marks": self.phase_marks,
            "kinds": _columns(self.kinds, OperatorKind),
            "calls": _columns(self.calls, Call),
            "modules": self.modules,
            "parameters": self.parameters,
            "tf32_matmul": self.tf32_matmul,
            "tf32_convolution": self.tf32_convolution,
            "lines": self.lines,
        }

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> "Trace":
        """The trace back from `to_json`."""
        kinds = _rows(table["kinds"], OperatorKind)
        return cls(
            target=table["target"],
            batch_size=table["batch_size"],
            storages=tuple(_rows(table["storages"], Storage)),
            events=tuple(table["events"]),
            marks=tuple(table["marks"]),
            phase_marks=tuple((index, phase) for index, phase in table["phase_marks"]),
            kinds=tuple(
                OperatorKind(
                    **{**_fields(kind), "inputs": tuple((dtype, tuple(shape)) for dtype, shape in kind.inputs)}
                )
                for kind in kinds
            ),
            calls=tuple(
                replace(call, reads=tuple(call.reads), writes=tuple(call.writes))
                for call in _rows(table["calls"], Call)
            ),
            modules=tuple(table["modules"]),
            parameters=table["parameters"],
            tf32_matmul=table["tf32_matmul"],
            tf32_convolution=table["tf32_convolution"],
            lines=tuple(table["lines"]),
        )


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


def _columns(rows: tuple[Any, ...], kind: Any) -> dict[str, list[Any]]:
    return {name: [getattr(row, name) for row in rows] for name in kind.__slots__}


def _rows(columns: dict[str, list[Any]], kind: Any) -> list[Any]:
    return [kind(*values) for values in zip(*(columns[name] for name in kind.__slots__), strict=True)]
