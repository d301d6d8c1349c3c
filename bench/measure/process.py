"""The parent's side of a worker: start it, follow its events, end it whatever happens."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from sslbench.bench import errors
from sslbench.bench.errors import MeasureError, SSLBenchError, WorkerError
from sslbench.bench.measure.messages import Outcome, Spec

_TICK_SECONDS = 0.5
_GRACE_SECONDS = 5.0
_LONGEST_MESSAGE = 600
_LOG_LINES = 3
_OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "can't allocate memory", "bad_alloc", "Failed to allocate memory")
_SMALLER = "lower --batch-size, or ask `sslbench fit` what would fit"
_ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"


def run_worker(
    spec: Spec,
    *,
    deadline: float,
    on_phase: Callable[[str, int], None],
    on_step: Callable[[int, int | None], None],
) -> Outcome:
    """Run a worker to its end. It and all it started are gone when this returns or raises.

    Args:
        spec: what it shall do.
        deadline: `time.monotonic()` at which it is killed.
        on_phase: told each phase's name and the worker's process id.
        on_step: told how many warm-up and timed steps are done, and how many are expected.

    Raises:
        WorkerError: the worker crashed, was killed, took too long, or its step raised; says which, where and why.
        MeasureError: it cannot run here.
        RecipeError: the worker found the recipe wrong.
    """
    with _log() as log, _started(spec, log) as process:
        follower = _Follower(process, log, deadline)
        for event in follower.events():
            if event["event"] == "phase":
                follower.phase = event["name"]
                on_phase(event["name"], process.pid)
            elif event["event"] == "step":
                follower.done = event["done"]
                on_step(event["done"], event["total"])
            elif event["event"] == "result":
                return Outcome(**event["outcome"])
            else:
                raise _error_of(event, follower)
        raise follower.end_without_result()


def _log() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise MeasureError(f"no temporary file for the worker's output: {error}: set TMPDIR") from error


@contextmanager
def _started(spec: Spec, log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    # -P: the folder we run in holds nothing that may be imported by accident (a kernels/ folder, say)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "sslbench.bench.measure.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,  # Ctrl-C reaches the parent alone, and the group can be killed as one
        env=worker_environment(spec),
    )
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    try:
        with suppress(BrokenPipeError):  # a worker that died at once is reported by its exit status
            process.stdin.write(spec.to_line().encode())
            process.stdin.flush()
        yield process
    finally:
        _kill_group(process)
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()


def worker_environment(spec: Spec) -> dict[str, str]:
    """Variables of the worker's process: ours, GPUs in NVML's order, and what the recipe asks of CUDA's allocator."""
    environment = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if spec.recipe.get("expandable_segments"):
        given = environment.get(_ALLOCATOR, "")
        others = [part for part in given.split(",") if part and not part.startswith("expandable_segments:")]
        environment[_ALLOCATOR] = ",".join([*others, "expandable_segments:True"])
    return environment


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill the worker and everything it started; on Windows, which has no process groups to kill, the worker."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses when only the dead are left
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


class _Follower:
    """Reads a worker's events and knows how far it came."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: IO[bytes], deadline: float) -> None:
        self._process = process
        self._log = log
        self._began = time.monotonic()
        self._deadline = deadline
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.phase = "start"
        self.done = 0
        threading.Thread(target=self._read, daemon=True, name="sslbench-worker-reader").start()

    def events(self) -> Iterator[dict[str, Any]]:
        """Every event until the worker's end.

        Raises:
            WorkerError: the deadline passed.
        """
        while (line := self._next_line()) is not None:
            if line.startswith(b'{"event"'):  # anything else was printed before the worker took its channel
                yield json.loads(line)

    def failure(self, kind: str, message: str) -> WorkerError:
        """What went wrong, with how far the worker had come."""
        return WorkerError(message, kind=kind, phase=self.phase, steps_done=self.done)

    def end_without_result(self) -> WorkerError:
        """Why the worker ended without an answer."""
        try:
            status = self._process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return self.failure(
                "crashed", f"the worker closed its channel in {self._where()} but runs on; it was killed"
            )
        output = self._last_output()
        if status >= 0:
            return self.failure("crashed", f"the worker ended with exit status {status} in {self._where()}{output}")
        name = signal.Signals(-status).name
        if name == "SIGKILL":
            return self.failure(
                "killed",
                f"the worker was killed (SIGKILL) in {self._where()}: probably this host ran out of memory: {_SMALLER}",
            )
        return self.failure("crashed", f"the worker crashed ({name}) in {self._where()}, in native code{output}")

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        with self._process.stdout as channel:
            for line in channel:
                self._lines.put(line)
        self._lines.put(None)

    def _next_line(self) -> bytes | None:
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                spent = time.monotonic() - self._began
                raise self.failure(
                    "timed-out",
                    f"no result after {spent:.0f} s, in {self._where()}: "
                    "raise --timeout, or lower --batch-size or --steps",
                )
            ended = self._process.poll() is not None  # its children may hold the channel open
            try:
                return self._lines.get(timeout=min(left, _TICK_SECONDS))
            except queue.Empty:
                if ended:
                    return None

    def _where(self) -> str:
        if self.phase in ("warm-up", "timed steps"):
            return f"phase {self.phase!r} (about {self.done} steps done)"
        return f"phase {self.phase!r}"

    def _last_output(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(self._log.tell() - 4096, 0))
        text = self._log.read().decode(errors="replace")
        # faulthandler writes the innermost frame first and a long list of extension modules last
        crash = text.rfind("Fatal Python error")
        lines = [line.strip() for line in text[max(crash, 0) :].split("\n") if line.strip()]
        lines = lines[-_LOG_LINES:] if crash < 0 else lines[:_LOG_LINES]
        return f"; its last output: {_shortened(' | '.join(lines))}" if lines else ""


def _error_of(event: dict[str, Any], follower: _Follower) -> SSLBenchError:
    """The worker's exception: our own as they were, a user's with kind and place."""
    kind, message = event["kind"], _shortened(event["message"])
    if any(sign in f"{kind} {message}" for sign in _OUT_OF_MEMORY):
        return follower.failure("out-of-memory", f"out of memory in phase {follower.phase!r}: {_SMALLER} ({message})")
    own = getattr(errors, kind, None)
    if isinstance(own, type) and issubclass(own, SSLBenchError):
        return own(message)
    place = f"{event['place']}: " if event["place"] else ""
    return follower.failure("raised", f"{place}{kind}: {message}")


def _shortened(text: str) -> str:
    text = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())  # no escape codes
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "..."
