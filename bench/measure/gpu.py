"""The NVIDIA GPU that a worker uses, as NVML shows it to the parent, outside the measured process.

Functions are called by their versioned names: the others answer a driver that lacks them with an error that is no
`NVMLError`.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import psutil
import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.backends import has_rocm, on_nvidia, on_processor, torch_has
from sslbench.bench.quantities import Backend


class Gpu:
    """One GPU, looked at before the worker starts and while it runs."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.uuid = str(pynvml.nvmlDeviceGetUUID(handle))
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        self.total_bytes = int(memory.total)
        self._used_before = int(memory.used)
        self.most_used_bytes: int | None = None
        """Most that the whole GPU held when the worker's memory was sampled."""
        self.before: frozenset[int] = frozenset()
        """Processes that were on the GPU before the worker started."""
        with suppress(pynvml.NVMLError):
            self.before = self.process_ids()
        self.sees_process = False
        """Whether NVML has shown the worker's own memory; in a container it often cannot."""

    def worker_bytes(self, pid: int) -> int:
        """GPU memory of the worker: NVML's figure for it, else what the GPU's total grew by since this object was made.

        Where NVML has shown the worker once, 0 when it no longer does: it has ended.

        Raises:
            NVMLError: the GPU or its driver is gone.
        """
        used = int(pynvml.nvmlDeviceGetMemoryInfo(self.handle).used)
        self.most_used_bytes = max(used, self.most_used_bytes or 0)
        with suppress(pynvml.NVMLError):  # an old driver: what the total grew by will do
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses_v3(self.handle):
                if process.pid == pid and process.usedGpuMemory:
                    self.sees_process = True
                    return int(process.usedGpuMemory)
        return 0 if self.sees_process else max(used - self._used_before, 0)

    def process_ids(self) -> frozenset[int]:
        """Processes with a compute or graphics context on the GPU.

        Raises:
            NVMLError: NVML does not tell.
        """
        found = list(pynvml.nvmlDeviceGetComputeRunningProcesses_v3(self.handle))
        with suppress(pynvml.NVMLError_NotSupported):  # some cards for computing have no graphics
            found += pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3(self.handle)
        return frozenset(process.pid for process in found)

    def counts_energy(self) -> bool:
        """Whether the card has an energy counter; those before Volta have none.

        Raises:
            NVMLError: the GPU or its driver is gone.
        """
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)
        except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
            return False
        return True

    def others(self, pids: Iterable[int], own: Iterable[int]) -> frozenset[int]:
        """Those of the processes that are surely none of ours.

        A container may give NVML's process ids other numbers than ours, and then the worker is one of those that we
        don't know: only what was there before it can be told from it.

        Args:
            pids: processes that NVML shows now.
            own: the worker and what it started; empty before it starts.
        """
        found, own = frozenset(pids), frozenset(own)
        return found - own if found & own or not own else found & self.before


def process_tree(pid: int) -> frozenset[int]:
    """A process and all it started, as far as they live."""
    with suppress(psutil.Error):
        return frozenset({pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))})
    return frozenset({pid})


def gpu_of(backend: Backend) -> tuple[Gpu | None, str]:
    """The NVIDIA GPU of a backend, else None and why. A torch with CUDA is measured even where NVML is not there.

    Raises:
        MeasureError: see `first_visible_gpu`.
    """
    if on_processor(backend):
        return None, "no GPU took part"
    if not on_nvidia(backend) or (backend == "torch-cuda" and has_rocm()):
        return None, "NVML shows NVIDIA's GPUs alone"
    if backend == "torch-cuda" and torch_has("cuda"):
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return None, f"NVML is not there ({error})"
    return first_visible_gpu(), ""


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
