"""What made a probe's figures doubtful: others on the processor or the GPU, limits, heat."""

import time

import psutil
import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure import host
from sslbench.bench.measure.contention import Contention
from sslbench.bench.measure.control_group import ControlGroup
from sslbench.bench.measure.doubts import Surroundings, doubts
from sslbench.bench.measure.gpu import Gpu, first_visible_gpu, process_tree
from sslbench.bench.measure.gpu_state import GpuLook
from sslbench.bench.measured import State
from sslbench.bench.quantities import Memory
from sslbench.hardware_profiles.processor import usable_cores


class Watch:
    """Looks at the machine when it is made, and when it is asked."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = _gpu(device)
        self._group, self._contention = ControlGroup(), Contention()
        self._began, self._began_epoch = time.monotonic(), time.time()
        self._throttled, self._heat_events = self._group.throttled_seconds(), host.heat_events()

    def warnings(self) -> tuple[str, ...]:
        """What was wrong since then; empty for a quiet machine."""
        look = GpuLook(self._gpu, process_tree(psutil.Process().pid), self._began_epoch) if self._gpu else None
        throttled = self._group.throttled_seconds()
        state = State(
            cpu_limit=self._group.cpu_limit(),
            throttled_seconds=None if throttled is None or self._throttled is None else throttled - self._throttled,
            others_cpu_share=self._contention.others_share(),
            gpu_after=look and look.state,
        )
        around = Surroundings(
            on_gpu=self._gpu is not None,
            threads=torch.get_num_threads(),
            usable_cores=usable_cores(),
            total_cores=psutil.cpu_count(logical=False) or usable_cores(),
            timed_seconds=time.monotonic() - self._began,
            lowest_clocks=host.holds_clocks_down(),
            heat_events=host.heat_events() - self._heat_events,
            on_battery=host.on_battery(),
        )
        return tuple(doubts(state, Memory(), around))


def _gpu(device: torch.device) -> Gpu | None:
    """The card as NVML shows it; None for a processor, or where NVML is not there."""
    if device.type != "cuda":
        return None
    try:
        return first_visible_gpu()
    except MeasureError:
        return None
