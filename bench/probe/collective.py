"""Runs the all-reduce of `kernels/micro/collective.py` in a process for each device."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.multiprocessing.spawn import ProcessException, spawn

from sslbench.bench.blame import in_brief
from sslbench.bench.errors import MeasureError
from sslbench.bench.probe.figures import rounded
from sslbench.hardware_profiles.schema import KernelTiming, Point
from sslbench.kernels.micro.collective import REPEATS, all_reduce

MIB = 2**20
SIZES = (1 * MIB, 25 * MIB, 256 * MIB)
"""A small gradient, one of DistributedDataParallel's buckets, and so much that latency does not count."""
_TIMEOUT_SECONDS = 90.0


def time_all_reduce(kind: str, devices: int, sizes: Sequence[int] = SIZES) -> KernelTiming:
    """All-reduces between devices of one machine, by size.

    Args:
        kind: `cuda`, or `cpu` for processes that share the processor.
        devices: how many, at least 2.
        sizes: bytes.

    Raises:
        MeasureError: a process failed, or they did not end in time.
    """
    with tempfile.TemporaryDirectory(prefix="sslbench-") as folder:
        _run(kind, devices, sizes, folder)
        seconds = json.loads((Path(folder) / "times.json").read_text(encoding="utf-8"))
    return KernelTiming(
        kernel="all_reduce",
        dtype="fp32",
        shape_names=("devices", "bytes"),
        points=tuple(
            Point(shape=(devices, size), seconds=rounded(each)) for size, each in zip(sizes, seconds, strict=True)
        ),
        noise=0.0,
        source=f"sslbench probe: median of {REPEATS} calls, torch {torch.__version__}",
    )


def _run(kind: str, devices: int, sizes: Sequence[int], folder: str) -> None:
    """One process a device; none is left behind, whatever happens."""
    arguments = (devices, kind, tuple(sizes), folder)
    context = spawn(all_reduce, arguments, nprocs=devices, join=False, daemon=True)  # type: ignore[no-untyped-call]
    until = time.monotonic() + _TIMEOUT_SECONDS
    try:
        while not context.join(timeout=1.0):
            if time.monotonic() > until:
                raise MeasureError(f"all-reduce of {devices} devices: no end after {_TIMEOUT_SECONDS:.0f} s")
    except ProcessException as error:
        raise MeasureError(f"all-reduce of {devices} devices: {in_brief(error)}") from error
    finally:
        for process in context.processes:
            process.kill()
            process.join()
