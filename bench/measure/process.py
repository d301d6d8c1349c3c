"""The parent's side of a worker: start it, follow its events, end it whatever happens."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure import guardian
from sslbench.bench.measure.backends import on_processor
from sslbench.bench.measure.events import ErrorEvent, PhaseEvent, StepEvent, TurnEvent
from sslbench.bench.measure.following import Follower
from sslbench.bench.measure.host_memory import HostMemory
from sslbench.bench.measure.log import Log
from sslbench.bench.measure.memory_limit import MemoryWatch
from sslbench.bench.measure.messages import END, RUN, Outcome, Spec
from sslbench.bench.measure.waiting import Turns, at_once

_ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"
_BEFORE_BUILD = ("start", "import")


def worker_in_turns(
    spec: Spec,
    *,
    deadline: float,
    on_phase: Callable[[str, int], None],
    on_step: Callable[[int, int | None], None],
) -> Turns[Outcome]:
    """Run a worker to its end. It and all it started are gone when this returns, raises or is closed.

    Where the worker waits for its turn (`Spec.in_turns`), its `TurnEvent` is yielded; what is sent back says whether it
    has one.

    Args:
        spec: what it shall do.
        deadline: `time.monotonic()` at which it is killed, later by what it waited for its turns.
        on_phase: told each phase's name and the worker's process id.
        on_step: told how many warm-up and timed steps are done, and how many are expected.

    Raises:
        WorkerError: the worker crashed, was killed, held too much memory, took too long, or its step or its recipe
            raised; says which, where and why.
        MeasureError: it cannot be started, or found before it built anything that it cannot run here.
    """
    host = HostMemory()
    with Log() as log, _started(spec, log.file) as process:
        watch = MemoryWatch(process.pid, _resident_limit(spec), host)
        follower = Follower(process, log, watch, deadline, spec.recipe.get("factory", ""))
        for event in follower.events():
            if isinstance(event, PhaseEvent):
                follower.phase = event.name
                on_phase(event.name, process.pid)
            elif isinstance(event, StepEvent):
                follower.done = event.done
                on_step(event.done, event.total)
            elif isinstance(event, TurnEvent):
                waits_since = time.monotonic()
                runs = yield event
                follower.extend(time.monotonic() - waits_since)
                _send(process, RUN if runs else END)
            elif isinstance(event, ErrorEvent):
                if event.kind == MeasureError.__name__ and follower.phase in _BEFORE_BUILD:
                    raise MeasureError(event.message)
                raise follower.told(event)
            else:
                return event.outcome
        raise follower.end_without_result()


run_worker = at_once(worker_in_turns)
"""The same for a worker that takes no turns; returns its outcome."""


def worker_environment(spec: Spec) -> dict[str, str]:
    """Variables of the worker's process: ours, its own, GPUs in NVML's order, and what the recipe asks of CUDA."""
    environment = {**os.environ, **spec.environment, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if spec.recipe.get("expandable_segments"):
        given = environment.get(_ALLOCATOR, "")
        others = [part for part in given.split(",") if part and not part.startswith("expandable_segments:")]
        environment[_ALLOCATOR] = ",".join([*others, "expandable_segments:True"])
    return environment


def _resident_limit(spec: Spec) -> int | None:
    """Most that the worker may hold of the machine's memory; a card's memory is limited in the worker itself."""
    return spec.memory_limit_bytes if on_processor(spec.backend) else None


@contextmanager
def _started(spec: Spec, log: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker that has its specification, and a guardian that ends it should this process die."""
    mark = secrets.token_hex(8)
    environment = {**worker_environment(spec), guardian.MARK_VARIABLE: mark}
    # -P: the folder we run in holds nothing that may be imported by accident (a kernels/ folder, say)
    process = _python(
        ["-P", "-m", "sslbench.bench.measure.worker"], stdout=subprocess.PIPE, stderr=log, environment=environment
    )
    try:
        with _guarded(process.pid, mark, spec.folder):
            try:
                _send(process, spec.to_line().encode())
                if not spec.in_turns:
                    _close(process)
                yield process
            finally:
                guardian.end_worker(process.pid, mark)
    finally:
        _end(process)


@contextmanager
def _guarded(pid: int, mark: str, folder: str) -> Iterator[None]:
    # -I, -S: only Python's own library, for a start within milliseconds
    command = ["-I", "-S", guardian.__file__, str(pid), mark, folder]
    watcher = _python(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        _end(watcher)


def _python(
    arguments: Sequence[str], *, stdout: int, stderr: IO[bytes] | int, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C reaches the parent alone, and the group can be killed as one
            env=environment,
        )
    except OSError as error:
        raise MeasureError(f"no process can be started for the measurement: {error}: too many run already?") from error


def _send(process: "subprocess.Popen[bytes]", line: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    with suppress(BrokenPipeError):  # a worker that died is told by its exit status
        process.stdin.write(line)
        process.stdin.flush()


def _close(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    with suppress(BrokenPipeError):
        process.stdin.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    process.kill()
    process.wait()
    _close(process)
