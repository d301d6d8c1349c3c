"""What Linux's control groups allow this process.

Files: https://docs.kernel.org/admin-guide/cgroup-v2.html (CPU) and https://docs.kernel.org/scheduler/sched-bwc.html
(version 1).
"""

from pathlib import Path

import psutil

from sslbench.hardware_profiles.control_group import PROC, ROOT, Level, levels, memory_limit_bytes


class ControlGroup:
    """The control group of this process, which a worker shares. On other systems than Linux: no limits, no counters."""

    def __init__(self, proc: Path = PROC, root: Path = ROOT) -> None:
        self._proc, self._root = proc, root
        self._levels = levels("cpu", proc, root)

    def cpu_limit(self) -> float | None:
        """Cores that may be used at a time, 0.5 for half of one's time; None: no limit."""
        limits = [limit for level in self._levels if (limit := _quota(level)) is not None]
        return min(limits, default=None)

    def memory_limit_bytes(self) -> int | None:
        """Bytes that all processes of the group may hold; None: no limit, or more than the machine has."""
        limit = memory_limit_bytes(self._proc, self._root)
        return limit if limit is not None and limit < psutil.virtual_memory().total else None

    def throttled_seconds(self) -> float | None:
        """How long the CPU limit has held processors back since the group was made, all processors together.

        None where no group counts it.
        """
        counts = [count for level in self._levels if (count := _throttled(level)) is not None]
        return max(counts, default=None)


def _quota(level: Level) -> float | None:
    words = level.text("cpu.max").split()  # version 2: "200000 100000", or "max 100000"
    if not words:
        words = [*level.text("cpu.cfs_quota_us").split(), *level.text("cpu.cfs_period_us").split()]
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):  # -1 and max: no limit
        return None
    return int(words[0]) / int(words[1])


def _throttled(level: Level) -> float | None:
    counters = level.counters("cpu.stat")
    if "throttled_usec" in counters:
        return counters["throttled_usec"] / 1e6
    if "throttled_time" in counters:
        return counters["throttled_time"] / 1e9  # version 1 counts nanoseconds
    return None
