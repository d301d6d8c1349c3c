"""Records: a prediction or a measurement on disk, versioned JSON.

Units are in the names: bytes, seconds, joules, FLOP. A quantity that is unknown is null, and `unknown` says why.
Record files hold one record, a JSON array of records, or one record a line.
"""

# Format history; a reader accepts every version up to its own.
# sslbench.record/1 (0.1.0): first version. Later: `explain`, `sharpening`, `data`, `utilization`, `phases`,
# `predicted`, `state`, `scaling`, `snapshot`, `failure`, `onnx`, `model_bytes`, `output_error`, `turns`, `plan`,
# `bill`, `what_if`, `recipe.budget`, some fields of memory, time, energy and environment; null or empty in older
# records.

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from sslbench.bench.billing import Bill, Plan
from sslbench.bench.errors import RecordError
from sslbench.bench.explanation import Explanation, Sharpening
from sslbench.bench.grid import WhatIf
from sslbench.bench.measured import Data, Failure, PhaseMeasured, Predicted, Scaling, State, TakingTurns, Utilization
from sslbench.bench.quantities import Backend, Energy, Environment, Memory, Time, Verdict, Work
from sslbench.bench.recipe import Option, Recipe, first_problem
from sslbench.hardware_profiles.schema import Machine

SCHEMA: Literal["sslbench.record/1"] = "sslbench.record/1"
_SCHEMA_FAMILY, _, _SCHEMA_VERSION = SCHEMA.partition("/")


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
    plan: Plan | None = None
    """Predictions: on several devices."""
    bill: Bill | None = None
    """Predictions: what the recipe's whole budget takes."""
    explain: Explanation | None = None
    """Predictions: what they rest on, where it was asked for."""
    sharpening: Sharpening | None = None
    """Predictions: what was measured elsewhere, and the time without it."""
    what_if: WhatIf | None = None
    """Predictions: the step with other settings, where that was asked for."""
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
    records = [parse_record(table, where=f"{path}{place}") for place, table in _tables(text, path)]
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


def parse_record(table: Any, *, where: str) -> Record:
    """A record from its JSON object.

    Raises:
        RecordError: it is no record, of a newer schema, or lacks a field; the message begins with `where`.
    """
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
