"""Energy of a GPU that has no counter of it: its power, sampled and integrated by the parent."""

import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

from sslbench.bench.measure.energy import SHORTEST_SPAN_SECONDS, Reading, too_short

INTERVAL_SECONDS = 0.05  # NVML renews its figure every 20 to 100 ms
SOURCE = "NVML power of the GPU board, sampled 20 times a second and integrated"


def integral_joules(samples: Sequence[tuple[float, float]]) -> float:
    """Energy under samples of (seconds, watts) in order of time, by the trapezoidal rule."""
    return sum((later - sooner) * (power + rising) / 2 for (sooner, power), (later, rising) in pairwise(samples))


class PowerMeter:
    """Samples power in a thread between `start` and `stop`; waits, never spins."""

    def __init__(self, read_watts: Callable[[], float], interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._read_watts = read_watts
        self._interval = interval_seconds
        self._samples: list[tuple[float, float]] = []
        self._reason = "the timed steps were not reached"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="sslbench-power")

    def start(self) -> None:
        """Begin to sample."""
        self._reason = ""
        self._thread.start()

    def stop(self) -> None:
        """Take the last sample; nothing happens if it never began."""
        if self._thread.is_alive():
            self._stopped.set()
            self._thread.join()

    def reading(self) -> Reading:
        """Energy from the first sample to the last; none if one of them failed."""
        if self._reason:
            return Reading(None, None, self._reason)
        span = self._samples[-1][0] - self._samples[0][0]
        if span < SHORTEST_SPAN_SECONDS["nvml"]:
            return too_short(span, "nvml")
        return Reading(integral_joules(self._samples), SOURCE, "")

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._interval if self._samples else 0):
                self._sample()
            self._sample()
        except pynvml.NVMLError as error:
            self._reason = f"NVML did not tell the GPU's power: {error}"

    def _sample(self) -> None:
        self._samples.append((time.monotonic(), self._read_watts()))
