"""Clocks of the devices that torch computes on. Part of the worker."""

import time

import torch

from sslbench.bench.measure.timing import Clock, HostClock, Step


class CudaClock:
    """Time on the GPU between two events around each step; on AMD's GPUs, too, which torch calls CUDA.

    The steps are not waited for one by one: as in a training loop, the host runs ahead of the GPU, and launch time that
    hides behind the GPU's work costs nothing. A step that the host holds up shows that in full.
    """

    def __init__(self) -> None:
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds: list[float] = []

    def time(self, step: Step) -> None:
        """Run the step once between two events."""
        start, end = _event(), _event()
        start.record()
        step()
        end.record()
        self._events.append((start, end))

    def wait(self) -> None:
        """Return once the GPU has done all it was given."""
        torch.cuda.synchronize()

    def finished_seconds(self) -> list[float]:
        """Seconds of the timed steps that the GPU has done; waits for nothing."""
        running = (at for at, (_, end) in enumerate(self._events) if not _is_over(end))
        done = next(running, len(self._events))
        self._seconds += [start.elapsed_time(end) / 1e3 for start, end in self._events[:done]]
        del self._events[:done]
        return list(self._seconds)

    def samples_seconds(self) -> list[float]:
        """Seconds of every step timed so far; waits for the GPU."""
        self.wait()
        return self.finished_seconds()

    def waited_seconds(self) -> list[float]:
        """None are known: the GPU keeps its own time."""
        return []


class WaitingClock:
    """Wall time of steps that are waited for one by one, on a GPU without events that could be trusted alike."""

    def __init__(self) -> None:
        self._nanoseconds: list[int] = []

    def time(self, step: Step) -> None:
        """Run the step once, from an idle device to an idle device."""
        self.wait()
        start = time.perf_counter_ns()
        step()
        self.wait()
        self._nanoseconds.append(time.perf_counter_ns() - start)

    def wait(self) -> None:
        """Return once the device has done all it was given."""
        torch.accelerator.synchronize()

    def finished_seconds(self) -> list[float]:
        """The same as `samples_seconds`."""
        return self.samples_seconds()

    def samples_seconds(self) -> list[float]:
        """Seconds of every step timed so far."""
        return [nanoseconds / 1e9 for nanoseconds in self._nanoseconds]

    def waited_seconds(self) -> list[float]:
        """None are known: the host waits for the device, with or without a processor."""
        return []


def clock_of(device: torch.device) -> Clock:
    """A clock for steps on the device; it has timed nothing yet."""
    if device.type == "cuda":
        return CudaClock()
    return HostClock() if device.type == "cpu" else WaitingClock()


def _is_over(event: torch.cuda.Event) -> bool:
    return bool(event.query())  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
