"""What Linux's control groups, which containers and schedulers are made of, allow this process.

A limit counts at every level from the process's own group up; the tightest one rules. Inside a container only the
group's own files are to be seen, at the root. Files: https://docs.kernel.org/admin-guide/cgroup-v2.html (CPU) and
https://docs.kernel.org/scheduler/sched-bwc.html (version 1).
"""

from pathlib import Path

import psutil

from sslbench.hardware_profiles.cpu import memory_limit_bytes

_PROC = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


class ControlGroup:
    """The control group of this process, which a worker shares. On other systems than Linux: no limits, no counters."""

    def __init__(self, proc: Path = _PROC, root: Path = _ROOT) -> None:
        self._proc, self._root = proc, root
        self._levels = _cpu_levels(proc, root)

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


def _cpu_levels(proc: Path, root: Path) -> list[Path]:
    """Folders of the groups that govern the processors, the own one first."""
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    levels = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root  # version 1 mounts or links each controller by its name
        folder = base / group.lstrip("/")
        levels += [level for level in (folder, *folder.parents) if level.is_relative_to(base)]
    return levels


def _quota(level: Path) -> float | None:
    words = _read(level / "cpu.max").split()  # version 2: "200000 100000", or "max 100000"
    if not words:
        words = [*_read(level / "cpu.cfs_quota_us").split(), *_read(level / "cpu.cfs_period_us").split()]
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):  # -1 and max: no limit
        return None
    return int(words[0]) / int(words[1])


def _throttled(level: Path) -> float | None:
    counters = dict(line.split() for line in _read(level / "cpu.stat").splitlines() if len(line.split()) == 2)
    if counters.get("throttled_usec", "").isdecimal():
        return int(counters["throttled_usec"]) / 1e6
    if counters.get("throttled_time", "").isdecimal():
        return int(counters["throttled_time"]) / 1e9  # version 1 counts nanoseconds
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
