"""Ends a worker whose parent is gone: `python -I -S guardian.py PID MARK FOLDER`.

A process of its own that does nothing but wait for the end of its standard input, which the parent holds open and
nobody else. A thread of the worker would not do: a step that hangs in native code with Python's lock held stops every
thread. Nor would Linux's PR_SET_PDEATHSIG, which ends the worker alone and leaves behind what that has started.

Standard library only, and no import of ours, so that it is there within milliseconds and holds almost no memory.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK_VARIABLE = "SSLBENCH_WORKER"
"""Environment variable that a worker and all that it starts inherit; its value is the worker's mark."""

_PROC = Path("/proc")
_ROUNDS = 50
_PAUSE_SECONDS = 0.02


def end_worker(pid: int, mark: str) -> None:
    """Kill a worker's process group and, on Linux, what it started in sessions of their own (torchrun does).

    Args:
        pid: of the worker, which leads its group.
        mark: value of `MARK_VARIABLE` in its environment.
    """
    if not hasattr(os, "killpg"):  # Windows has no such groups
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)
        return
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses when only the dead are left
        os.killpg(pid, signal.SIGKILL)
    for _ in range(_ROUNDS):  # what is being killed may have started one more
        marked = _marked(f"{MARK_VARIABLE}={mark}".encode())
        if not marked:
            return
        for found in marked:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(found, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def _marked(variable: bytes) -> list[int]:
    """Processes that have the variable in their environment; the dead have none."""
    found = []
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # another user's, or gone by now
            if variable in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def main() -> None:
    """Wait for the parent's end, then end the worker and remove its temporary folder."""
    pid, mark, folder = sys.argv[1:]
    sys.stdin.buffer.read()  # returns when the parent is gone
    end_worker(int(pid), mark)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)  # the parent would have


if __name__ == "__main__":
    main()
