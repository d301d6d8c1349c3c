"""How much memory is left here, and whether the kernel has ended a process for want of it.

On Linux a control group may allow less than the machine has. Files of version 1:
https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
"""

from dataclasses import dataclass
from pathlib import Path

import psutil

from sslbench.hardware_profiles.control_group import PROC, ROOT, Level, levels, read_counters

_NEARLY_FULL = 0.9  # below that share of the limit, what could be reclaimed need not be looked up


@dataclass(frozen=True, slots=True)
class _Files:
    """Names of what a group's folder tells."""

    limit: str
    used: str
    reclaimable: str
    """Key of memory.stat: page cache that goes when memory is short."""
    events: str
    """The file with the counter `oom_kill`."""


_FILES = {
    1: _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control"),
    2: _Files("memory.max", "memory.current", "inactive_file", "memory.events"),
}


@dataclass(frozen=True, slots=True)
class Left:
    """Memory that is left, of how much, and where."""

    bytes: int
    total_bytes: int
    place: str


class HostMemory:
    """The memory of this machine and of the control groups that this process, and so its workers, are in."""

    def __init__(self, proc: Path = PROC, root: Path = ROOT) -> None:
        self._vmstat = proc / "vmstat"
        found = [(level, _FILES[level.version]) for level in levels("memory", proc, root)]
        self._groups = [(level, files) for level, files in found if (level.folder / files.used).exists()]
        total = psutil.virtual_memory().total
        limits = ((level, files, level.number(files.limit)) for level, files in self._groups)
        self._limited: list[tuple[Level, _Files, int]] = [
            (level, files, limit) for level, files, limit in limits if limit and limit < total
        ]

    def left(self) -> Left:
        """What can still be had: of the machine, or of a control group that has less left."""
        memory = psutil.virtual_memory()
        places = [Left(memory.available, memory.total, "this host")]
        for level, files, limit in self._limited:
            used = level.number(files.used) or 0
            if used > _NEARLY_FULL * limit:
                used -= level.counters("memory.stat").get(files.reclaimable, 0)
            places.append(Left(max(limit - used, 0), limit, "this process's control group (container)"))
        return min(places, key=lambda left: left.bytes)

    def oom_kills(self) -> int | None:
        """Processes that the kernel has ended for want of memory: of the own control group, else of the machine.

        The group's counter has any kind of such an end, the machine's memory being short or the group's. None where
        nothing counts them.
        """
        for level, files in self._groups:
            count = level.counters(files.events).get("oom_kill")
            if count is not None:
                return count
        return read_counters(self._vmstat).get("oom_kill")
