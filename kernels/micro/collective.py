"""All-reduce between the devices of one machine: what data-parallel training sends for every gradient."""

import json
import statistics
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

WARM_UPS, REPEATS = 3, 9
_PATIENCE = timedelta(seconds=60)


def all_reduce(rank: int, devices: int, kind: str, sizes: Sequence[int], folder: str) -> None:
    """Time all-reduces of fp32 tensors in one of several processes, each with a device of its own.

    The first process writes `times.json` into the folder: median seconds by size, in order. Processes begin each
    repeat together, and the device is waited for.

    Args:
        rank: of this process.
        devices: how many processes there are.
        kind: `cuda` (NCCL) or `cpu` (gloo).
        sizes: bytes of the tensor that each process holds.
        folder: empty, and the same for all.
    """
    device = torch.device(kind, rank) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=devices,
        timeout=_PATIENCE,
    )
    try:
        medians = [_median_seconds(torch.ones(size // 4, device=device)) for size in sizes]
    finally:
        distributed.destroy_process_group()
    if rank == 0:
        (Path(folder) / "times.json").write_text(json.dumps(medians), encoding="utf-8")


def _median_seconds(tensor: torch.Tensor) -> float:
    samples = []
    for _ in range(WARM_UPS + REPEATS):
        distributed.barrier()
        _wait(tensor.device)
        start = time.perf_counter()
        distributed.all_reduce(tensor)
        _wait(tensor.device)
        samples.append(time.perf_counter() - start)
        tensor.fill_(1.0)  # sums of sums would overflow
    return statistics.median(samples[WARM_UPS:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
