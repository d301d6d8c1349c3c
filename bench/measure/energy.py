"""Energy counters: NVML for one NVIDIA board, RAPL for the processor packages.

Neither is the energy of the machine: NVML leaves out the host, RAPL leaves out the board, the disks and mostly the
memory, and counts what other programs on the same processor use. A GPU that has no counter is looked at by the parent
(see `power`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

_POWERCAP = Path("/sys/class/powercap")
# NVML updates its counter about every 20 to 100 ms, RAPL about every millisecond; a span of ten updates or more keeps
# the error of the first and the last below about 10 %.
SHORTEST_SPAN_SECONDS = {"nvml": 1.0, "rapl": 0.01}
_NO_COUNTER = {
    "mps": "Apple shows the GPU's energy to root alone (sudo powermetrics)",
    "xpu": "no energy counter of Intel's GPUs is read",
    **dict.fromkeys(
        ("cuda", "tensorrt", "coreml", "directml", "migraphx", "rocm", "qnn"),
        "NVML does not show this device, and no other energy counter of one is read",
    ),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """Energy of a span; `joules` None where `reason` says why."""

    joules: float | None
    source: str | None
    reason: str


class RaplZone:
    """One processor package; its counter wraps."""

    def __init__(self, folder: Path) -> None:
        self._energy = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
        self._start_uj = self._read_uj()

    def _read_uj(self) -> int:
        return int(self._energy.read_text(encoding="ascii"))

    def joules(self) -> float:
        """Energy since it was made; right for spans shorter than one turn of the counter (minutes at full load)."""
        spent = self._read_uj() - self._start_uj
        return (spent if spent >= 0 else spent + self._range_uj) / 1e6


def too_short(span_seconds: float, counter: Literal["nvml", "rapl"]) -> Reading:
    """What is read where the timed steps took less time than the counter needs."""
    needed = SHORTEST_SPAN_SECONDS[counter]
    return Reading(
        None, None, f"the timed steps took {span_seconds:.3f} s, the counter needs {needed:g} s: more --steps"
    )


class EnergyMeter:
    """Counts from when it is made until `read`.

    Args:
        backend: where the step runs; its last word is the device.
        gpu_uuid: NVML's identity of the GPU, empty for other devices.
        powercap: where Linux shows RAPL.
    """

    def __init__(self, backend: str, gpu_uuid: str = "", powercap: Path = _POWERCAP) -> None:
        self._counter: Literal["nvml", "rapl"] = "nvml" if gpu_uuid else "rapl"
        self._source: str | None = None
        self._reason = _NO_COUNTER.get(backend.rpartition("-")[2], "")
        self._count: Callable[[], float] | None = None
        if gpu_uuid:
            self._count = self._nvml(gpu_uuid)
        elif not self._reason:
            self._count = self._rapl(powercap)
        self._began = time.monotonic()

    def read(self) -> Reading:
        """Joules since the meter was made."""
        span = time.monotonic() - self._began
        if self._count is None:
            return Reading(None, None, self._reason)
        if span < SHORTEST_SPAN_SECONDS[self._counter]:
            return too_short(span, self._counter)
        try:
            joules = self._count()
        except (pynvml.NVMLError, OSError, ValueError) as error:
            return Reading(None, None, f"the counter could no longer be read after the timed steps: {error}")
        if joules <= 0:
            return Reading(None, None, "the counter stood still")
        return Reading(joules, self._source, "")

    def _nvml(self, uuid: str) -> Callable[[], float] | None:
        try:
            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            start_mj = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            self._reason = f"NVML shows no energy counter of this GPU: {error}"
            return None
        self._source = "NVML total energy of the GPU board"
        return lambda: (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) - start_mj) / 1e3

    def _rapl(self, powercap: Path) -> Callable[[], float] | None:
        packages = sorted(folder for folder in powercap.glob("intel-rapl:*") if folder.name.count(":") == 1)
        packages = [folder for folder in packages if _zone_name(folder).startswith("package")]
        if not packages:
            self._reason = "no energy counter: this system shows no RAPL package in /sys/class/powercap"
            return None
        try:
            zones = [RaplZone(folder) for folder in packages]
        except PermissionError:
            self._reason = f"RAPL is for root only here: sudo chmod a+r {powercap}/intel-rapl:*/energy_uj"
            return None
        except (OSError, ValueError) as error:
            self._reason = f"RAPL cannot be read: {error}"
            return None
        self._source = f"RAPL, {len(zones)} processor package{'s' * (len(zones) > 1)}"
        return lambda: sum(zone.joules() for zone in zones)


def _zone_name(folder: Path) -> str:
    try:
        return (folder / "name").read_text(encoding="ascii").strip()
    except OSError:
        return ""
