"""Step time on several devices, each with the recipe's batch: what of the communication is not hidden.

`ddp` (https://arxiv.org/abs/2006.15704): gradients are summed in buckets while the backward pass goes on; what is still
under way at its end delays the step. `fsdp` (FSDP2 and ZeRO-3, https://arxiv.org/abs/2304.11277): the parameters of a
block are gathered while the block before computes, in both passes, and its gradients are scattered while the next one
does; each device then updates its share. These are the strategies of `sslbench.kernels.parallel`.

Known limitations: broadcasts of buffers, and what collectives take of the multiprocessors, are not counted.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist

from sslbench.bench.predict.communication import Fabric
from sslbench.bench.predict.sharding import Block, blocks_of
from sslbench.bench.predict.time import predict_time
from sslbench.bench.quantities import Strategy
from sslbench.bench.trace.events import BACKWARD, FORWARD, OPTIMIZER, Trace
from sslbench.hardware_profiles.schema import Machine

FIRST_BUCKET_BYTES = 2**20
"""`torch.distributed._DEFAULT_FIRST_BUCKET_BYTES`."""
BUCKET_BYTES = 25 * 2**20
"""`bucket_cap_mb` of DistributedDataParallel."""
WAITING_SIGMA = 0.015
"""Standard deviation of step times between the devices of one machine, as a share; all wait for the slowest. NVIDIA's
BERT pre-training on eight A100 and V100, whose many accumulated passes leave no communication to speak of, loses 2.3 %
in the mean of 13 runs; the expected maximum of eight lies 1.42 standard deviations above the mean."""


@dataclass(frozen=True, slots=True)
class ParallelTime:
    """One step on several devices, in seconds."""

    step_seconds: float
    single_seconds: float
    """The same step on one device."""
    communication_seconds: float
    """All collectives, one after the other."""
    exposed_seconds: float
    """What of them delays the step."""
    communication_bytes: int
    """What enters the collectives of a step."""


def parallel_time(
    trace: Trace,
    machine: Machine,
    fabric: Fabric,
    strategy: Strategy,
    *,
    single_seconds: float | None = None,
    overlaps: bool = True,
    gathered: float = 1.0,
    reduced: float = 1.0,
    reshard: bool = True,
) -> ParallelTime:
    """Time of a training step on several devices; of an inference step, which each does for itself.

    Args:
        trace: of the step on one device.
        machine: where; its own number of devices is not looked at.
        fabric: what connects the devices.
        strategy: `ddp` or `fsdp`.
        single_seconds: of the step on one device, where it is known better than predicted.
        overlaps: ddp: whether gradients are summed while the backward pass goes on.
        gathered: bytes of a parameter as it is gathered, as a share of its own; 0.5: fp32 parameters as bf16.
        reduced: the same of gradients.
        reshard: fsdp: whether parameters are given up after the forward pass (ZeRO-3) or kept (ZeRO-2).
    """
    single = single_seconds or predict_time(trace, machine).step_seconds
    if fabric.devices == 1 or not _backwards(trace):
        return ParallelTime(single * _slowest(fabric.devices), single, 0.0, 0.0, 0)
    phases = _phase_seconds(trace, machine, single)
    bandwidth = machine.device.memory_bandwidth_bytes_per_second.value
    if strategy == "ddp":
        return _ddp(trace, fabric, phases, single, bandwidth, reduced, overlaps=overlaps)
    blocks = [block.scaled(gathered, reduced) for block in blocks_of(trace)]
    return _fsdp(blocks, len(_backwards(trace)), fabric, phases, single, bandwidth, reshard=reshard)


def _slowest(devices: int) -> float:
    """Expected time of the slowest of some devices over that of one (Blom's approximation of a normal maximum)."""
    if devices == 1:
        return 1.0
    return 1.0 + WAITING_SIGMA * NormalDist().inv_cdf((devices - 0.375) / (devices + 0.25))


def _phase_seconds(trace: Trace, machine: Machine, total: float) -> dict[int, float]:
    """Seconds of each phase; they add up to the step's."""
    alone = {
        phase: predict_time(
            replace(trace, calls=tuple(call for call in trace.calls if call.phase == phase)), machine
        ).step_seconds
        for phase in (FORWARD, BACKWARD, OPTIMIZER)
    }
    whole = sum(alone.values()) or 1.0
    return {phase: seconds / whole * total for phase, seconds in alone.items()}


def _backwards(trace: Trace) -> list[tuple[int, int]]:
    """Where each backward pass of the second step begins and ends, as indexes into the events."""
    marks = [mark for mark in trace.phase_marks if trace.marks[1] <= mark[0]] + [(trace.marks[2], FORWARD)]
    return [(start, end) for (start, phase), (end, _) in pairwise(marks) if phase == BACKWARD and end > start]


def gradient_buckets(trace: Trace) -> list[tuple[float, int]]:
    """DDP's buckets in order: when each is full, as a share of a backward pass, and its bytes.

    A gradient is ready when its storage is born; the distance of births stands for time.
    """
    start, end = _backwards(trace)[0]
    buckets: list[tuple[float, int]] = []
    limit, size = FIRST_BUCKET_BYTES, 0
    for index in range(start, end):
        event = trace.events[index]
        if event >= 0 and trace.storages[event].category == "gradient":
            size += trace.storages[event].size
            if size >= limit:
                buckets.append(((index + 1 - start) / (end - start), size))
                limit, size = BUCKET_BYTES, 0
    return [*buckets, (1.0, size)] if size else buckets


def _ddp(
    trace: Trace,
    fabric: Fabric,
    phases: dict[int, float],
    single: float,
    bandwidth: float,
    reduced: float,
    *,
    overlaps: bool,
) -> ParallelTime:
    backward = phases[BACKWARD] / len(_backwards(trace))  # of accumulated passes only the last one averages
    buckets = gradient_buckets(trace)
    end = total = 0.0
    for ready, size in buckets:
        seconds = fabric.all_reduce_seconds(size * reduced)
        end = max(end, (ready if overlaps else 1.0) * backward) + seconds
        total += seconds
    exposed = max(0.0, end - backward)
    size = sum(size for _, size in buckets)
    copies = 4 * size / bandwidth  # into the buckets and back, each byte read and written
    step = (single + copies) * _slowest(fabric.devices) + exposed
    return ParallelTime(step, single, total, exposed, int(size * reduced))


def _fsdp(
    blocks: list[Block],
    passes: int,
    fabric: Fabric,
    phases: dict[int, float],
    single: float,
    bandwidth: float,
    *,
    reshard: bool,
) -> ParallelTime:
    root, *rest = blocks
    gathers = [fabric.all_gather_seconds(block.parameter_bytes) for block in rest]
    scatters = [fabric.reduce_scatter_seconds(block.gradient_bytes) for block in rest]
    count, size = len(rest), sum(block.parameter_bytes for block in blocks)
    gathered = fabric.all_gather_seconds(root.parameter_bytes)
    scattered = fabric.reduce_scatter_seconds(root.gradient_bytes)
    forward, backward = (phases[phase] / passes / max(1, count) for phase in (FORWARD, BACKWARD))
    # The first gather has nothing to hide behind; the last scatter neither. The root keeps its parameters.
    exposed = passes * (gathered + sum(gathers[:1]) + sum(max(0.0, each - forward) for each in gathers[1:]))
    again = gathers if reshard else [0.0] * count
    for number in range(passes):
        last = number == passes - 1
        behind = [gather + (scatter if last else 0.0) for gather, scatter in zip(again, scatters, strict=True)]
        exposed += sum(max(0.0, each - backward) for each in behind)
    exposed += scattered + sum(scatters[:1])
    often = passes * (2 if reshard else 1)
    total = passes * gathered + scattered + often * sum(gathers) + sum(scatters)
    moved = size * (often + 1)
    compute = single - phases[OPTIMIZER] * (1 - 1 / fabric.devices) + 2 * moved / bandwidth
    return ParallelTime(compute * _slowest(fabric.devices) + exposed, single, total, exposed, moved)
