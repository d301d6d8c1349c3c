"""A step's storages through the allocator of a machine."""

from dataclasses import dataclass

from sslbench.bench.predict.capacity import capacity_bytes, overhead_bytes
from sslbench.bench.predict.identity import kept_for_itself
from sslbench.bench.predict.workspace import workspace_bytes
from sslbench.bench.trace.allocator import OutOfDeviceMemoryError, peak_bytes, replay
from sslbench.bench.trace.events import BACKWARD, Trace
from sslbench.hardware_profiles.schema import Machine


@dataclass(frozen=True, slots=True)
class Replay:
    """A step's storages at some batch, to be run through a machine's allocator."""

    sizes: list[int]
    """Bytes of every storage."""
    events: tuple[int, ...]
    """As `Trace.events`."""
    workspace: int
    """Bytes that libraries take beside the storages."""
    machine: Machine
    trains: bool
    """Whether the step has a backward pass."""
    expandable: bool = False
    """Whether the allocator has expandable segments."""
    free: tuple[int, int] | None = None
    """Allocated and reserved peak of the storages where memory never runs short, if they are known already."""

    def peaks(self) -> tuple[int, int | None]:
        """Allocated and reserved peak, within the machine's memory where the step fits it; a CPU reserves nothing."""
        if self.machine.device.kind == "cpu":
            return peak_bytes(self.sizes, self.events), None
        if self.free is not None and not self.free[0] <= self.limit_bytes < self.free[1]:
            return self.free[0] + self.workspace, self.free[1] + self.workspace  # it fits as it is, or not at all
        try:
            allocator = replay(self.sizes, self.events, max(0, self.limit_bytes), expandable=self.expandable)
        except OutOfDeviceMemoryError:
            allocator = replay(self.sizes, self.events, expandable=self.expandable)
        return allocator.peak_allocated_bytes + self.workspace, allocator.peak_reserved_bytes + self.workspace

    @property
    def limit_bytes(self) -> int:
        """What the storages may take of the machine's memory, by the central estimate; negative where there is none."""
        return capacity_bytes(self.machine) - overhead_bytes(self.machine, trains=self.trains) - self.workspace

    def runs_within(self, limit_bytes: float) -> bool:
        """Whether the step runs if its storages may take this much."""
        if self.machine.device.kind == "cpu":
            return peak_bytes(self.sizes, self.events) <= limit_bytes
        if self.free is not None and not self.free[0] <= limit_bytes < self.free[1]:
            return self.free[1] <= limit_bytes
        try:
            replay(self.sizes, self.events, max(0, int(limit_bytes)), expandable=self.expandable)
        except OutOfDeviceMemoryError:
            return False
        return True

    def fits(self) -> bool:
        """Whether the step fits the machine, by the central estimate."""
        return self.runs_within(self.limit_bytes)


def replay_of(trace: Trace, machine: Machine, *, expandable: bool = False) -> Replay:
    """A trace as it is, to be run through a machine's allocator."""
    sizes = [storage.size for storage in trace.storages]
    free = None if machine.device.kind == "cpu" else _free_peaks(trace, expandable)
    return Replay(sizes, trace.events, workspace_bytes(trace), machine, trains(trace), expandable, free)


@kept_for_itself(16)
def _free_peaks(trace: Trace, expandable: bool) -> tuple[int, int]:
    """Allocated and reserved peak of a trace on a device whose memory never runs short."""
    allocator = replay([storage.size for storage in trace.storages], trace.events, expandable=expandable)
    return allocator.peak_allocated_bytes, allocator.peak_reserved_bytes


def trains(trace: Trace) -> bool:
    """Whether a step has a backward pass."""
    return any(phase == BACKWARD for _, phase in trace.phase_marks)
