"""How long this process's threads were ready to run while others had their core: the sign of a disturbed block."""

from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


def queued_seconds(tasks: Path = _TASKS) -> float:
    """Time that all threads of this process have waited for a core since they began; 0 where Linux does not tell.

    Second field of `schedstat`, nanoseconds: https://docs.kernel.org/scheduler/sched-stats.html.
    """
    waited = 0
    for path in tasks.glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread that has just ended
            waited += int(path.read_text(encoding="ascii").split()[1])
    return waited / 1e9
