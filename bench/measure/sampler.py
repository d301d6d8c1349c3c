"""The parent's samples of the worker's memory, taken only during the memory pass."""

import threading
from collections.abc import Callable

import psutil
import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

INTERVAL_SECONDS = 0.005


class PeakSampler:
    """Keeps the largest value that `read` gave between `start` and `stop`; waits, never spins.

    A peak shorter than the interval can be missed; where the system keeps a high-water mark, that is used instead.
    """

    def __init__(self, read: Callable[[int], int], interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._read = read
        self._interval = interval_seconds
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.peak_bytes: int | None = None
        self.problem = ""
        """What NVML said when it stopped answering; what was seen until then stands."""

    def start(self, pid: int) -> None:
        """Begin to sample that process."""
        self._thread = threading.Thread(target=self._sample, args=(pid,), daemon=True, name="sslbench-sampler")
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling; nothing happens if it never began."""
        if self._thread is not None:
            self._stopped.set()
            self._thread.join()

    def _sample(self, pid: int) -> None:
        try:
            while not self._stopped.is_set():
                self.peak_bytes = max(self.peak_bytes or 0, self._read(pid))
                self._stopped.wait(self._interval)
        except psutil.Error:
            return  # the worker is gone
        except pynvml.NVMLError as error:
            self.problem = str(error)


def process_resident_bytes(pid: int) -> int:
    """Resident bytes of a process, its children not included."""
    return int(psutil.Process(pid).memory_info().rss)
