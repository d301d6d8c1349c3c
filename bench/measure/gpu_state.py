"""Temperature, clocks, power and who else is on the GPU, from NVML. A question that it does not answer costs one field.

Fields and units: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from collections import defaultdict
from collections.abc import Callable
from statistics import fmean
from typing import Any, TypeVar

import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

from sslbench.bench.measure.gpu import Gpu
from sslbench.bench.measured import GpuState

_REASONS = {
    pynvml.nvmlClocksEventReasonGpuIdle: "idle",
    pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "application clocks",
    pynvml.nvmlClocksEventReasonSwPowerCap: "power limit",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksEventReasonSyncBoost: "sync boost",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "heat (driver)",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "heat (hardware)",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power brake",
    pynvml.nvmlClocksEventReasonDisplayClockSetting: "display clocks",
}
_Answer = TypeVar("_Answer")


class GpuLook:
    """One look at a GPU: its `state`, and why fields of it are null, by their names."""

    def __init__(self, gpu: Gpu, own: frozenset[int] = frozenset(), since: float = 0.0) -> None:
        """Ask NVML.

        Args:
            gpu: the GPU.
            own: the worker and what it started; empty before it starts.
            since: seconds since the epoch; what others used is counted from then on.
        """
        self.unknown: dict[str, str] = {}
        self._gpu, self._own = gpu, own
        on_gpu = self._ask("other_processes", lambda _: gpu.process_ids())
        shares = self._ask("other_utilization", lambda handle: _shares(handle, since))
        self.state = GpuState(
            temperature_celsius=self._ask("temperature_celsius", _temperature),
            graphics_clock_mhz=self._ask("graphics_clock_mhz", _clock(pynvml.NVML_CLOCK_GRAPHICS)),
            memory_clock_mhz=self._ask("memory_clock_mhz", _clock(pynvml.NVML_CLOCK_MEM)),
            power_watts=self._ask("power_watts", power_watts),
            power_limit_watts=self._ask("power_limit_watts", _power_limit),
            utilization=self._ask("utilization", _utilization),
            throttle_reasons=self._ask("throttle_reasons", _throttle_reasons) or [],
            other_processes=None if on_gpu is None else len(gpu.others(on_gpu, own)),
            other_utilization=None if on_gpu is None or shares is None else self._used_by_others(on_gpu, shares),
        )
        if self.state.other_utilization is None:
            self.unknown.setdefault("other_utilization", "NVML has no sample of what single processes used")

    def _used_by_others(self, on_gpu: frozenset[int], shares: dict[int, float]) -> float | None:
        """Share of the GPU's time that others used; None where somebody is there and NVML has taken no sample."""
        if not shares:
            return None if on_gpu or self._own else 0.0
        # A worker before ours may have left samples behind: before ours starts, only those who are there count.
        others = self._gpu.others(on_gpu | shares.keys(), self._own) if self._own else on_gpu
        return min(sum(shares[pid] for pid in others & shares.keys()), 1.0)

    def _ask(self, name: str, question: Callable[[Any], _Answer]) -> _Answer | None:
        try:
            return question(self._gpu.handle)
        except pynvml.NVMLError as error:
            self.unknown[name] = f"NVML: {error}"
            return None


def power_watts(handle: Any) -> float:
    """Power that the board draws: its mean over the last second, on cards before Ampere that of the moment.

    Raises:
        NVMLError: the card does not tell, or is gone.
    """
    return float(pynvml.nvmlDeviceGetPowerUsage(handle)) / 1e3


def _temperature(handle: Any) -> int:
    return int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))


def _clock(domain: int) -> Callable[[Any], int]:
    return lambda handle: int(pynvml.nvmlDeviceGetClockInfo(handle, domain))


def _power_limit(handle: Any) -> float:
    return float(pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)) / 1e3


def _utilization(handle: Any) -> float:
    return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100


def _throttle_reasons(handle: Any) -> list[str]:
    try:
        bits = int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except pynvml.NVMLError_FunctionNotFound:  # drivers before 535 know it by its old name
        bits = int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    return [name for bit, name in _REASONS.items() if bits & bit]


def _shares(handle: Any, since: float) -> dict[int, float]:
    """Mean share of the GPU's time by process. Drivers fill the list up with nonsense, which is left out."""
    oldest = int(since * 1e6)
    samples = defaultdict(list)
    try:
        for sample in pynvml.nvmlDeviceGetProcessUtilization(handle, oldest):
            if sample.pid and sample.timeStamp > oldest and sample.smUtil <= 100:
                samples[int(sample.pid)].append(sample.smUtil / 100)
    except pynvml.NVMLError as error:
        if error.value not in (pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_NOT_FOUND):  # both: nobody used it
            raise
    return {pid: fmean(shares) for pid, shares in samples.items()}
