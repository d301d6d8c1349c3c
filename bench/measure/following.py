"""Follows a worker's events, and knows how far it came when it ends without an answer."""

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

from sslbench.bench import errors
from sslbench.bench.errors import SSLBenchError, WorkerError
from sslbench.bench.measure.ending import SMALLER, cause_of_status, cause_of_words, place_in_stack, shortened
from sslbench.bench.measure.events import LONGEST_LINE_BYTES, ErrorEvent, Event, read_event
from sslbench.bench.measure.log import Log
from sslbench.bench.measure.memory_limit import LOOK_SECONDS, MemoryWatch
from sslbench.bench.measured import FailureKind

_GRACE_SECONDS = 5.0
_STACK_SECONDS = 1.0


class Follower:
    """Reads a worker's events, watches its memory, and tells why it failed.

    Args:
        process: the worker; its standard output is the channel.
        log: its standard error.
        watch: looks at its memory.
        deadline: `time.monotonic()` at which it has taken too long.
        factory: `file.py:function` of the recipe, empty for a catalog recipe.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", log: Log, watch: MemoryWatch, deadline: float, factory: str
    ) -> None:
        self._process = process
        self._log = log
        self._watch = watch
        self._began = time.monotonic()
        self._deadline = deadline
        self._factory = factory
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._heard = False
        self.phase = "start"
        self.done = 0
        threading.Thread(target=self._read, daemon=True, name="sslbench-worker-reader").start()

    def events(self) -> Iterator[Event]:
        """Every event until the worker's end.

        Raises:
            WorkerError: the deadline passed, the worker held too much memory, or wrote what is no event.
        """
        while (line := self._next_line()) is not None:
            event = read_event(line)
            if event is not None:
                self._heard = True
                yield event
            elif not line.endswith(b"\n") and len(line) < LONGEST_LINE_BYTES:
                return  # cut short by the worker's end, whose cause says more
            elif self._heard:  # before, a start-up hook of Python may have printed
                raise self.failure("crashed", self._no_event(line))

    def extend(self, seconds: float) -> None:
        """Put off the deadline by what the worker spent waiting for its turn."""
        self._deadline += seconds

    def failure(self, kind: str, message: str) -> WorkerError:
        """What went wrong, with how far the worker had come."""
        return WorkerError(message, kind=kind, phase=self.phase, steps_done=self.done)

    def told(self, error: ErrorEvent) -> WorkerError:
        """The exception that the worker told of: with its class and place, but our own errors as they are."""
        if error.status is not None:
            kind, line = self._cause(error.status)
            return self.failure(kind, f"rank {error.rank}: {line}")
        if error.cause is not None:
            return self.failure(error.cause, f"{error.message}, {self.where()}")
        own = issubclass(getattr(errors, error.kind, object), SSLBenchError)
        place = f"{error.place}: " if error.place else ""
        message = error.message if own else f"{place}{error.kind}: {error.message}"
        short = self._watch.kernel_was_short()
        return self.failure(*cause_of_words(error.kind, message, where=self.where(), memory_short=short))

    def end_without_result(self) -> WorkerError:
        """Why the worker ended without an answer."""
        try:
            status = self._process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return self.failure("crashed", f"the worker closed its channel {self.where()} but runs on; it was killed")
        return self.failure(*self._cause(status))

    def where(self) -> str:
        """What the worker is doing, as part of a sentence."""
        if self.phase in ("warm-up", "timed steps"):
            return f"in phase {self.phase!r} (about {self.done} steps done)"
        return f"in phase {self.phase!r}"

    def _cause(self, status: int) -> tuple[FailureKind, str]:
        return cause_of_status(
            status,
            self._log.tail(),
            where=self.where(),
            factory=self._factory,
            memory_short=self._watch.kernel_was_short(),
        )

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        with self._process.stdout as channel:
            while line := channel.readline(LONGEST_LINE_BYTES):
                self._lines.put(line)
        self._lines.put(None)

    def _next_line(self) -> bytes | None:
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise self._timed_out()
            complaint = self._watch.complaint()
            if complaint:
                raise self.failure("out-of-memory", f"{complaint} {self.where()}; it was ended: {SMALLER}")
            ended = self._process.poll() is not None  # its children may hold the channel open
            try:
                return self._lines.get(timeout=min(left, LOOK_SECONDS))
            except queue.Empty:
                if ended:
                    return None

    def _no_event(self, line: bytes) -> str:
        found = shortened(line[:80].decode(errors="replace"))
        return (
            f"the worker's channel carried something else than its messages {self.where()}: a step must not write to "
            f"file descriptors that it has not opened ({found})"
        )

    def _timed_out(self) -> WorkerError:
        spent = time.monotonic() - self._began
        place = self._python_place()
        return self.failure(
            "timed-out",
            f"no result after {spent:.0f} s, {self.where()}{', at ' + place if place else ''}: "
            "raise --timeout, or lower --batch-size or --steps",
        )

    def _python_place(self) -> str:
        """Where the worker's main thread is; empty where it does not answer: it is stopped, or has only begun."""
        if not hasattr(signal, "SIGUSR1"):
            return ""
        size = before = self._log.size()
        self._process.send_signal(signal.SIGUSR1)  # faulthandler answers, even where Python itself cannot
        until = time.monotonic() + _STACK_SECONDS
        while time.monotonic() < until:
            time.sleep(0.05)
            size, last = self._log.size(), size
            if size == last != before:  # it has come, and all of it
                return place_in_stack(self._log.tail(), self._factory)
        return ""
