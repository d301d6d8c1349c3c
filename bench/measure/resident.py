"""Memory of this process, from the kernel's own bookkeeping; no sampling, no cost to the step."""

import sys
from pathlib import Path

import psutil

if sys.platform != "win32":
    import resource

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_HIGH_WATER_MARK = "5"


def resident_bytes() -> int:
    """Bytes of this process in physical memory now (RSS, shared library pages included)."""
    return int(psutil.Process().memory_info().rss)


def unique_bytes() -> int:
    """Bytes of this process in physical memory now that no other process shares (USS): what its end would free.

    Raises:
        psutil.Error: the system does not tell.
    """
    return int(psutil.Process().memory_full_info().uss)


def page_faults() -> tuple[int, int] | None:
    """Pages that the kernel has mapped for this process: without reading a disk, and with; None on Windows.

    `ru_minflt` and `ru_majflt` of `man 2 getrusage`, all threads together, children not included.
    """
    if sys.platform == "win32":
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt, usage.ru_majflt


class HighWaterMark:
    """The most resident bytes since it was made.

    Linux keeps the mark (`VmHWM`) and resets it when 5 is written to `/proc/self/clear_refs` (`man 5 proc`). Other
    systems, and containers that forbid the write, have none: the parent's samples stand in.
    """

    def __init__(self) -> None:
        try:
            _CLEAR_REFS.write_text(_RESET_HIGH_WATER_MARK, encoding="ascii")
        except OSError:
            self._works = False
        else:
            self._works = True

    def read(self) -> int | None:
        """The mark in bytes, None where the system keeps none that can be reset."""
        if not self._works:
            return None
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None
