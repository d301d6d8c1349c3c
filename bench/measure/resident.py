"""Resident memory of this process, from the kernel's own bookkeeping; no sampling, no cost to the step."""

from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_HIGH_WATER_MARK = "5"


def resident_bytes() -> int:
    """Bytes of this process in physical memory now (RSS, shared library pages included)."""
    return int(psutil.Process().memory_info().rss)


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
