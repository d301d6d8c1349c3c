"""The control groups that Linux has put this process in: a container, a scheduler's job.

A limit counts at every level from the process's own group up; the tightest one rules. A container may see its group's
path but only the group's own files, at the root. Version 2 has one tree of folders, version 1 one for each controller:
https://docs.kernel.org/admin-guide/cgroup-v2.html, https://docs.kernel.org/admin-guide/cgroup-v1/cgroups.html.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROC = Path("/proc")
ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Level:
    """A group's folder."""

    folder: Path
    version: Literal[1, 2]

    def text(self, name: str) -> str:
        """What a file of the group holds; empty where there is none."""
        return read_text(self.folder / name)

    def number(self, name: str) -> int | None:
        """The number in a file of the group; None for `max`, -1, or no such file."""
        text = self.text(name).strip()
        return int(text) if text.isdecimal() else None

    def counters(self, name: str) -> dict[str, int]:
        """The numbers in a file of one name and value a line."""
        return read_counters(self.folder / name)


def levels(controller: str, proc: Path = PROC, root: Path = ROOT) -> list[Level]:
    """The groups that govern this process's use of `cpu` or `memory`, the own one first; none on other systems."""
    found = []
    for line in read_text(proc / "self" / "cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root  # version 1 mounts or links each controller by its name
        folder = base / group.lstrip("/")
        above = [place for place in (folder, *folder.parents) if place.is_relative_to(base)]
        found += [Level(place, 1 if controllers else 2) for place in above]
    return found


def memory_limit_bytes(proc: Path = PROC, root: Path = ROOT) -> int | None:
    """The smallest limit on the memory of this process's groups, or None."""
    found = [
        level.number("memory.limit_in_bytes" if level.version == 1 else "memory.max")
        for level in levels("memory", proc, root)
    ]
    return min((limit for limit in found if limit is not None), default=None)


def read_counters(path: Path) -> dict[str, int]:
    """The numbers in a file of one name and value a line; empty where there is none."""
    pairs = (line.split() for line in read_text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def read_text(path: Path) -> str:
    """What a file of the system holds; empty where there is none, or none that may be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
