"""A worker's lines, checked: a step can write into any file that is open in its process, the worker's channel too."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sslbench.bench.measure.messages import Outcome
from sslbench.bench.measured import FailureKind

LONGEST_LINE_BYTES = 2**28
"""A result with ten million timed steps fits."""


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class PhaseEvent(_Event):
    """A phase began."""

    event: Literal["phase"]
    name: str


class StepEvent(_Event):
    """So many steps are done."""

    event: Literal["step"]
    done: int
    total: int | None


class TurnEvent(_Event):
    """A worker waits for its turn."""

    event: Literal["turn"]
    steps: int
    """Timed in its last turn; 0: it is warm, and has had none."""
    median: float | None = None
    """Of their seconds, without what other programs took of one thread's."""
    enough: bool
    """Whether its median is known well enough."""
    spent: bool
    """Whether it has no seconds left."""


class ResultEvent(_Event):
    """The last line of a worker that succeeded."""

    event: Literal["result"]
    outcome: Outcome


class ErrorEvent(_Event):
    """The last line of one that failed."""

    event: Literal["error"]
    kind: str
    message: str
    place: str
    cause: FailureKind | None = None
    """Where the worker knows it."""
    rank: int | None = None
    """Which of several processes failed."""
    status: int | None = None
    """What that process ended with, where it told nothing itself."""


Event = PhaseEvent | StepEvent | TurnEvent | ResultEvent | ErrorEvent
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def read_event(line: bytes) -> Event | None:
    """The event of one line; None where the line is none."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        return None
