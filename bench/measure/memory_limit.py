"""Ends a worker before it takes more memory than it may, or the last that the machine has."""

import time
from contextlib import suppress
from typing import Final

import psutil

from sslbench.bench.measure.host_memory import HostMemory, Left

LOOK_SECONDS: Final = 0.1
_CHILDREN_SECONDS = 1.0
_LEAST_PAUSE = 200  # times what a look took: half a percent of one core, however many processes there are
_SHORT_SHARE = 0.05
MIB, GIB = 2**20, 2**30


class MemoryWatch:
    """Looks at a worker's memory and at what the machine has left, some ten times a second.

    Resident memory counts, of the worker and of all that it started; pages that they share count once.
    """

    def __init__(self, pid: int, limit_bytes: int | None, host: HostMemory) -> None:
        self._worker = psutil.Process(pid)
        self._limit = limit_bytes
        self._host = host
        self._kills_before = host.oom_kills()
        self._left: Left | None = None
        self._children: list[psutil.Process] = []
        self._next_look = 0.0
        self._next_children = 0.0

    def complaint(self) -> str | None:
        """Why the worker must end now; None: it may go on. Most calls between two looks do nothing."""
        began = time.monotonic()
        if began < self._next_look:
            return None
        try:
            return self._low_host() or self._above_limit()
        finally:
            now = time.monotonic()
            self._next_look = now + max(LOOK_SECONDS, _LEAST_PAUSE * (now - began))

    def kernel_was_short(self) -> str | None:
        """Signs that the kernel, or a guard of the system's own, ended a process of ours for want of memory."""
        kills = self._host.oom_kills()
        if kills is not None and self._kills_before is not None and kills > self._kills_before:
            return "the kernel ended it because memory ran out"
        if self._left is not None and self._left.bytes < _SHORT_SHARE * self._left.total_bytes:
            return f"just before, {self._left.place} had {_gib(self._left.bytes)} of memory left"
        return None

    def _low_host(self) -> str | None:
        left = self._left = self._host.left()
        if left.bytes >= low_bytes(left.total_bytes):
            return None
        return (
            f"{left.place} has {_gib(left.bytes)} of its {_gib(left.total_bytes)} of memory left, "
            f"and the worker held {_gib(self._resident())}"
        )

    def _above_limit(self) -> str | None:
        if self._limit is None:
            return None
        self._find_children()
        held = self._resident()
        if held > self._limit and self._children:
            held = self._proportional()
        if held <= self._limit:
            return None
        return f"the worker held {_gib(held)}, more than its limit of {_gib(self._limit)}"

    def _find_children(self) -> None:
        began = time.monotonic()
        if began < self._next_children:
            return
        with suppress(psutil.Error):
            self._children = self._worker.children(recursive=True)
        now = time.monotonic()
        self._next_children = now + max(_CHILDREN_SECONDS, _LEAST_PAUSE * (now - began))

    def _resident(self) -> int:
        held = 0
        for process in (self._worker, *self._children):
            with suppress(psutil.Error):  # gone by now
                held += int(process.memory_info().rss)
        return held

    def _proportional(self) -> int:
        """Each shared page divided among those who share it (PSS), where the system counts that: it takes longer."""
        held = 0
        for process in (self._worker, *self._children):
            with suppress(psutil.Error):
                memory = process.memory_full_info()
                held += int(getattr(memory, "pss", memory.rss))
        return held


def low_bytes(total_bytes: int) -> float:
    """Memory that is nearly out: 2 % of all, but 256 MiB to 1 GiB, and no more than a tenth of a small container's."""
    return min(max(0.02 * total_bytes, 256 * MIB), GIB, 0.1 * total_bytes)


def _gib(number: float) -> str:
    return f"{number / GIB:.2f} GiB"
