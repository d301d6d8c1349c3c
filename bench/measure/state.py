"""Watches the machine around the timed steps: before the worker starts, as they begin, as they end, never in between.

Only a GPU without a counter of energy is looked at meanwhile, by `power`. Whatever the system or NVML does not tell
costs the field that it feeds, with a reason; never the measurement.
"""

import time
from contextlib import suppress

import psutil
import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

from sslbench.bench.measure import host
from sslbench.bench.measure.control_group import ControlGroup
from sslbench.bench.measure.doubts import Surroundings, doubts
from sslbench.bench.measure.gpu import Gpu, process_tree
from sslbench.bench.measure.gpu_state import GpuLook, power_watts
from sslbench.bench.measure.messages import MEMORY_PHASE, TIMED_PHASE, Outcome
from sslbench.bench.measure.power import PowerMeter
from sslbench.bench.measure.sampler import PeakSampler
from sslbench.bench.measured import State
from sslbench.bench.quantities import Energy
from sslbench.bench.record import Record
from sslbench.hardware_profiles.processor import usable_cores

_RECENTLY_SECONDS = 2.0  # NVML averages what a process used over about a second
_NOT_REACHED = "the timed steps were not reached"
_UNKNOWN_TO_SYSTEM = {
    "governor": "this system shows no frequency governor",
    "frequency_mhz": "this system does not show the cores' clocks",
    "load_average": "this system keeps no load average",
    "smt": "this system does not tell whether cores run several threads",
    "throttled_seconds": "no control group counts how long it held processors back",
    "swap_used_bytes": "this system does not tell how much it swapped",
    "others_cpu_share": "the timed steps were too short to tell",
}


class StateWatch:
    """Made before the worker starts; told its phases; adds what it saw to the record.

    Args:
        gpu: the GPU that the worker uses, None for other devices.
        sampler: of the worker's memory, run during the memory pass.
        why_no_gpu: why there is none.
        alone: whether no other worker runs in between.
    """

    def __init__(self, gpu: Gpu | None, sampler: PeakSampler, why_no_gpu: str = "", *, alone: bool = True) -> None:
        self._gpu, self._sampler, self._why_no_gpu = gpu, sampler, why_no_gpu
        self._group = ControlGroup()
        self._load = host.load_average()
        self._before = None if gpu is None else GpuLook(gpu, since=time.time() - _RECENTLY_SECONDS)
        self._after: GpuLook | None = None
        self._power = _power_meter(gpu) if alone else None  # it would integrate the turns of others, too
        self._phase = ""
        self._began = self._began_epoch = 0.0
        self._timed_seconds = 0.0
        self._throttled: float | None = None
        self._heat_events = host.heat_events()
        self._frequency_mhz: float | None = None

    def on_phase(self, name: str, pid: int) -> None:
        """A phase of the worker begins, and the one before is over."""
        if name == MEMORY_PHASE:
            self._sampler.start(pid)
        else:
            self._sampler.stop()
        if self._phase == TIMED_PHASE and name != TIMED_PHASE:
            self._steps_end(pid)
        if name == TIMED_PHASE:
            self._steps_begin()
        self._phase = name

    def stop(self) -> None:
        """The worker is gone; no thread is left behind."""
        self._sampler.stop()
        if self._power is not None:
            self._power.stop()

    def added_to(self, record: Record, outcome: Outcome) -> Record:
        """The record with the state of the machine, what of it is doubtful, and energy that only the parent could see.

        Args:
            record: of the measurement.
            outcome: what the worker measured; a fresh one where it failed.
        """
        state, unknown = self._state(outcome)
        unknown = record.unknown | unknown
        memory = record.memory.model_copy(
            update={"device_used_bytes": None if self._gpu is None else self._gpu.most_used_bytes}
        )
        if memory.device_used_bytes is None:
            unknown["memory.device_used_bytes"] = self._no_device_memory()
        steps = 0 if outcome.ranks else len(record.time.samples_seconds)  # of several GPUs one was looked at
        energy = self._integrated_energy(steps, unknown) or record.energy
        warnings = [*record.warnings, *doubts(state, memory, self._surroundings(outcome))]
        if self._sampler.problem:
            why = f"NVML stopped answering in the memory pass ({self._sampler.problem})"
            warnings.append(f"{why}: more memory may have been used than was seen: check dmesg and nvidia-smi")
        changes = {"state": state, "memory": memory, "energy": energy, "unknown": unknown, "warnings": warnings}
        return record.model_copy(update=changes)

    def _no_device_memory(self) -> str:
        return self._why_no_gpu or self._sampler.problem or "the memory pass was not reached"

    def _steps_begin(self) -> None:
        """As little as can be: the worker is at work already."""
        self._began, self._began_epoch = time.monotonic(), time.time()
        self._throttled = self._group.throttled_seconds()
        if self._power is not None:
            self._power.start()

    def _steps_end(self, pid: int) -> None:
        self._timed_seconds = time.monotonic() - self._began
        if self._power is not None:
            self._power.stop()
        if self._gpu is not None:  # first of all: clocks and load fall soon
            self._after = GpuLook(self._gpu, process_tree(pid), self._began_epoch)
        self._heat_events = host.heat_events() - self._heat_events
        throttled = self._group.throttled_seconds()
        self._throttled = throttled - self._throttled if throttled is not None and self._throttled is not None else None
        self._frequency_mhz = host.frequency_mhz()

    def _state(self, outcome: Outcome) -> tuple[State, dict[str, str]]:
        state = State(
            governor=host.governor(),
            frequency_mhz=self._frequency_mhz,
            load_average=self._load,
            smt=host.smt(),
            container=host.container(),
            cpu_limit=self._group.cpu_limit(),
            memory_limit_bytes=self._group.memory_limit_bytes(),
            throttled_seconds=self._throttled if self._timed_seconds else None,
            swap_used_bytes=host.swap_used_bytes(),
            others_cpu_share=outcome.others_cpu_share,
            gpu_before=self._before and self._before.state,
            gpu_after=self._after and self._after.state,
        )
        unknown = {f"state.{name}": why for name, why in _UNKNOWN_TO_SYSTEM.items() if getattr(state, name) is None}
        if not self._timed_seconds:
            late = ("frequency_mhz", "throttled_seconds", "others_cpu_share", "gpu_after")
            unknown |= {f"state.{name}": _NOT_REACHED for name in late}
        if self._gpu is None:
            unknown |= dict.fromkeys(("state.gpu_before", "state.gpu_after"), self._why_no_gpu)
        for name, look in (("gpu_before", self._before), ("gpu_after", self._after)):
            unknown |= {f"state.{name}.{field}": why for field, why in (look.unknown if look else {}).items()}
        return state, unknown

    def _surroundings(self, outcome: Outcome) -> Surroundings:
        return Surroundings(
            on_gpu=self._gpu is not None,
            threads=outcome.threads,
            usable_cores=usable_cores(),
            total_cores=psutil.cpu_count(logical=False) or usable_cores(),
            timed_seconds=self._timed_seconds,
            lowest_clocks=host.holds_clocks_down(),
            heat_events=self._heat_events if self._timed_seconds else 0,
            on_battery=host.on_battery(),
        )

    def _integrated_energy(self, steps: int, unknown: dict[str, str]) -> Energy | None:
        """Energy of a GPU without a counter; says in `unknown` why there is none."""
        if self._power is None or not steps:
            return None
        reading = self._power.reading()
        if reading.joules is None:
            unknown["energy.joules_per_step"] = reading.reason
            return None
        unknown.pop("energy.joules_per_step", None)
        return Energy(joules_per_step=reading.joules / steps, source=reading.source)


def _power_meter(gpu: Gpu | None) -> PowerMeter | None:
    """What integrates the power of a card that has no counter of energy."""
    if gpu is not None:
        with suppress(pynvml.NVMLError):
            return None if gpu.counts_energy() else PowerMeter(lambda: power_watts(gpu.handle))
    return None
