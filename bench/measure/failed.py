"""The record of a measurement whose worker failed. Imports no torch."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel

from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import WorkerError
from sslbench.bench.measure.backends import on_processor
from sslbench.bench.measured import Failure
from sslbench.bench.quantities import Backend, Energy, Memory, Time, Work
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.hardware_profiles.here import describe_here, processor_here

_PREDICTED_ONLY = ("memory.allocated_interval_bytes", "memory.reserved_interval_bytes")


class FailedMeasurementError(WorkerError):
    """A worker failed, and what is known all the same.

    Attributes:
        record: has `failure`, the machine and its state, and says why nothing else is known.
    """

    def __init__(self, error: WorkerError, record: Record) -> None:
        super().__init__(str(error), kind=error.kind, phase=error.phase, steps_done=error.steps_done)
        self.record = record


def failed_record(error: WorkerError, *, recipe: Recipe, backend: Backend, command: Sequence[str]) -> Record:
    """The record of a measurement whose worker failed.

    Args:
        error: how it failed.
        recipe: what it ran.
        backend: where.
        command: the sslbench arguments that make the record again.
    """
    machine = processor_here() if on_processor(backend) else describe_here()
    reason = f"the step did not run: {error.kind} in phase {error.phase!r}"
    parts = {
        "memory": Memory(capacity_bytes=int(machine.device.memory_bytes.value)),
        "time": Time(),
        "energy": Energy(),
        "work": Work(),
    }
    unknown = {path: reason for name, part in parts.items() for path in _null_fields(name, part)}
    unknown |= dict.fromkeys(("verdict", "probability_fits", "max_batch_size"), "measured, not predicted")
    return Record(
        kind="measurement",
        created=datetime.now(UTC),
        backend=backend,
        recipe=recipe,
        machine=machine,
        environment=describe_environment(),
        command=list(command),
        failure=Failure.model_validate(
            {"kind": error.kind, "phase": error.phase, "steps_done": error.steps_done, "message": str(error)}
        ),
        unknown=unknown,
        **parts,
    )


def _null_fields(name: str, part: BaseModel) -> Iterator[str]:
    for field, value in part:
        if value is None and f"{name}.{field}" not in _PREDICTED_ONLY:
            yield f"{name}.{field}"
