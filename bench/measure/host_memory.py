"""How much memory is left here, and whether the kernel has ended a process for want of it.

On Linux a control group (a container, a scheduler's job) may allow less than the machine has. Files of version 2:
https://docs.kernel.org/admin-guide/cgroup-v2.html, of version 1: https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
"""

from dataclasses import dataclass
from pathlib import Path

import psutil

_PROC = Path("/proc")
_ROOT = Path("/sys/fs/cgroup")
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


_VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "memory.oom_control")
_VERSION_2 = _Files("memory.max", "memory.current", "inactive_file", "memory.events")


@dataclass(frozen=True, slots=True)
class Left:
    """Memory that is left, of how much, and where."""

    bytes: int
    total_bytes: int
    place: str


class HostMemory:
    """The memory of this machine and of the control groups that this process, and so its workers, are in."""

    def __init__(self, proc: Path = _PROC, root: Path = _ROOT) -> None:
        self._vmstat = proc / "vmstat"
        self._groups = _groups(proc / "self" / "cgroup", root)
        total = psutil.virtual_memory().total
        limits = ((folder, files, _number(folder / files.limit)) for folder, files in self._groups)
        self._limited = [(folder, files, limit) for folder, files, limit in limits if limit and limit < total]

    def left(self) -> Left:
        """What can still be had: of the machine, or of a control group that has less left."""
        memory = psutil.virtual_memory()
        places = [Left(memory.available, memory.total, "this host")]
        for folder, files, limit in self._limited:
            used = _number(folder / files.used) or 0
            if used > _NEARLY_FULL * limit:
                used -= _counter(folder / "memory.stat", files.reclaimable) or 0
            places.append(Left(max(limit - used, 0), limit, "this process's control group (container)"))
        return min(places, key=lambda left: left.bytes)

    def oom_kills(self) -> int | None:
        """Processes that the kernel has ended for want of memory: of the own control group, else of the machine.

        The group's counter has any kind of such an end, the machine's memory being short or the group's. None where
        nothing counts them.
        """
        for folder, files in self._groups:
            count = _counter(folder / files.events, "oom_kill")
            if count is not None:
                return count
        return _counter(self._vmstat, "oom_kill")


def _groups(listing: Path, root: Path) -> list[tuple[Path, _Files]]:
    """Folders of the groups that govern this process's memory, the own one first."""
    found = []
    for line in _text(listing).splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base, files = (root / "memory", _VERSION_1) if controllers else (root, _VERSION_2)
        folder = base / group.lstrip("/")
        # A container may see its group's path but only the group's own files, at the root.
        levels = [level for level in (folder, *folder.parents) if level.is_relative_to(base)]
        found += [(level, files) for level in levels if (level / files.used).exists()]
    return found


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None  # "max": no limit


def _counter(path: Path, name: str) -> int | None:
    """The value beside the name, in a file of one name and value a line."""
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
