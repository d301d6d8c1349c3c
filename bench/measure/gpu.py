"""The NVIDIA GPU that a worker uses, as NVML shows it to the parent, outside the measured process."""

import os
from contextlib import suppress
from typing import Any

import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

from sslbench.bench.errors import MeasureError


class Gpu:
    """One GPU, looked at before the worker starts and while it runs."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.uuid = str(pynvml.nvmlDeviceGetUUID(handle))
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        self.total_bytes = int(memory.total)
        self._used_before = int(memory.used)
        self.others = len(self._processes())
        """Processes that were on the GPU before the worker started."""
        self.sees_process = False
        """Whether NVML has shown the worker's own memory; in a container it often cannot."""

    def worker_bytes(self, pid: int) -> int:
        """GPU memory of the worker: NVML's figure for it, else what the GPU's total grew by since this object was made.

        Where NVML has shown the worker once, 0 when it no longer does: it has ended.
        """
        for process in self._processes():
            if process.pid == pid and process.usedGpuMemory:
                self.sees_process = True
                return int(process.usedGpuMemory)
        if self.sees_process:
            return 0
        return max(int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used) - self._used_before, 0)

    def _processes(self) -> list[Any]:
        with suppress(pynvml.NVMLError):
            return list(pynvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        return []


def first_visible_gpu() -> Gpu:
    """The GPU that a worker sees first: of CUDA_VISIBLE_DEVICES, else nvidia-smi's first.

    Workers get CUDA_DEVICE_ORDER=PCI_BUS_ID, so that CUDA counts as nvidia-smi does.

    Raises:
        MeasureError: NVML is missing, or shows no such GPU.
    """
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        pynvml.nvmlInit()
        if first.startswith(("GPU-", "MIG-")):
            return Gpu(pynvml.nvmlDeviceGetHandleByUUID(first))
        if not first.isdecimal():
            raise MeasureError(f"CUDA_VISIBLE_DEVICES is {first!r}, which hides every GPU: unset it")
        return Gpu(pynvml.nvmlDeviceGetHandleByIndex(int(first)))
    except pynvml.NVMLError as error:
        raise MeasureError(
            f"no NVIDIA GPU can be used here ({error}): nvidia-smi should list one; "
            "without a card, measure with a -cpu backend or predict with `sslbench fit`"
        ) from error
