"""How much of the processor other programs used while steps were timed."""

import os
import time

import psutil

_SHORTEST_SPAN_SECONDS = 0.2  # the kernel counts processor time in ticks of 10 ms


class Contention:
    """Compares the whole system's busy time with this process's own, from when it is made.

    The load average would not do: it decays over minutes, so that one measurement would accuse the next.
    """

    def __init__(self) -> None:
        self._processes = _own_processes()
        self._began = time.monotonic()
        self._busy, self._own = _system_busy_seconds(), self._own_seconds()

    def others_share(self) -> float | None:
        """Share of all cores that others kept busy, 0 to 1; None where the span was too short to tell."""
        span = time.monotonic() - self._began
        if span < _SHORTEST_SPAN_SECONDS:
            return None
        others = (_system_busy_seconds() - self._busy) - (self._own_seconds() - self._own)
        return min(max(others / (span * (psutil.cpu_count() or 1)), 0.0), 1.0)

    def _own_seconds(self) -> float:
        return sum(_used_seconds(process) for process in self._processes)


def _own_processes() -> list[psutil.Process]:
    """This process; of a step on several devices (torchrun names their number) all the processes of one worker."""
    own = psutil.Process()
    worker = own.parent() if "LOCAL_WORLD_SIZE" in os.environ else None
    return [own] if worker is None else worker.children()


def _used_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _system_busy_seconds() -> float:
    times = psutil.cpu_times()._asdict()
    # guest time is counted in user time too
    idle = {"idle", "iowait", "guest", "guest_nice"}
    return float(sum(seconds for name, seconds in times.items() if name not in idle))
