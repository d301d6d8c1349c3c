"""The worker's voice: events, one JSON object a line. Standard library only."""

import json
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from sslbench.bench.files import with_home, without_home
from sslbench.bench.measure.messages import RUN, Outcome, Phase

_STEP_EVENTS_PER_SECOND = 20


class Channel(Protocol):
    """Takes whole lines."""

    def write(self, line: bytes, /) -> object:
        """Take a line."""

    def flush(self) -> None:
        """Send what was taken."""


class ToldError(Exception):
    """A failure that another process told this one of, to be passed on as it is.

    Attributes:
        event: the `error` event.
    """

    def __init__(self, event: dict[str, Any]) -> None:
        super().__init__(event["message"])
        self.event = event


class Orders(Protocol):
    """Where the parent answers."""

    def readline(self) -> bytes:
        """The next line; empty where the parent is gone."""


class Reporter:
    """Writes events to the parent, and waits where it asks for a turn.

    Args:
        channel: takes the events.
        orders: has the answers, for a worker that takes turns.
    """

    def __init__(self, channel: Channel, orders: Orders | None = None) -> None:
        self._channel = channel
        self._orders = orders
        self._next_step_event = 0.0

    def phase(self, name: Phase) -> None:
        """A phase begins."""
        self._write({"event": "phase", "name": name})

    def step(self, done: int, total: int | None = None) -> None:
        """So many warm-up and timed steps are done, of so many that are expected; most calls write nothing."""
        now = time.monotonic()
        if now >= self._next_step_event or done == total:
            self._next_step_event = now + 1 / _STEP_EVENTS_PER_SECOND
            self._write({"event": "step", "done": done, "total": total})

    def turn(self, steps: int, median: float | None, *, enough: bool, spent: bool) -> bool:
        """Wait for the next turn; False where there is none. See `messages`."""
        assert self._orders is not None  # noqa: S101 - only workers have turns, and they have orders
        self._write({"event": "turn", "steps": steps, "median": median, "enough": enough, "spent": spent})
        return self._orders.readline() == RUN

    def result(self, outcome: Outcome) -> None:
        """The work is done."""
        self._write({"event": "result", "outcome": asdict(outcome)})

    def error(self, error: BaseException, factory: str) -> None:
        """The work failed; the place is the innermost line of the user's own file, or of any file."""
        if isinstance(error, ToldError):
            self._write(error.event)
            return
        message = str(error) or type(error).__name__
        self._write(
            {"event": "error", "kind": type(error).__name__, "message": message, "place": place_of(error, factory)}
        )

    def pass_on(self, event: dict[str, Any]) -> None:
        """An event of a process that speaks through this one."""
        self._write(event)

    def _write(self, event: dict[str, object]) -> None:
        self._channel.write(json.dumps(event).encode() + b"\n")
        self._channel.flush()


def place_of(error: BaseException, factory: str) -> str:
    """`file:line` where the error arose: in the factory's file if it passed there, else where it was raised.

    Args:
        error: an exception that was caught.
        factory: `file.py:function` of the recipe, empty for a catalog recipe.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    own = with_home(factory.rpartition(":")[0]).resolve() if factory else None
    frame = next((frame for frame in reversed(frames) if Path(frame.filename).resolve() == own), frames[-1])
    return f"{without_home(frame.filename)}:{frame.lineno}"
