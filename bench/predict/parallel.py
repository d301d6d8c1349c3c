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

from sslbench.bench.predict.communication import Collective, Fabric
from sslbench.bench.predict.sharding import Block, blocks_of
from sslbench.bench.predict.time import predict_time
from sslbench.bench.quantities import Interval, Strategy
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
    alone = _alone(trace, machine, single_seconds)
    if fabric.devices == 1 or not alone.passes:
        return ParallelTime(alone.seconds, alone.seconds, 0.0, 0.0, 0)
    if strategy == "ddp":
        return _ddp(gradient_buckets(trace, reduced), fabric, alone, overlaps=overlaps)
    blocks = [block.scaled(gathered, reduced) for block in blocks_of(trace)]
    return _fsdp(blocks, fabric, alone, reshard=reshard)


def parallel_interval(time: ParallelTime, single_interval: Interval) -> Interval:
    """90 % interval of the step: that of one device, and links from twice as fast to none of it hidden.

    Links of one kind differ by that much between hosts, and older software hides nothing (docs/accuracy.md).
    """
    rest = time.step_seconds - time.exposed_seconds
    low, high = (edge / time.single_seconds * rest for edge in single_interval)
    return low + time.exposed_seconds / 2, high + max(1.5 * time.exposed_seconds, time.communication_seconds)


def _slowest(devices: int) -> float:
    """Expected time of the slowest of some devices over that of one (Blom's approximation of a normal maximum)."""
    if devices == 1:
        return 1.0
    return 1.0 + WAITING_SIGMA * NormalDist().inv_cdf((devices - 0.375) / (devices + 0.25))


@dataclass(frozen=True, slots=True)
class _Alone:
    """A training step on one device, in seconds."""

    seconds: float
    passes: int
    """Forward and backward passes before the update; of them only the last averages gradients."""
    forward: float
    """Of one pass."""
    backward: float
    """Of one pass."""
    optimizer: float
    """What of the update devices can share: not its launches."""
    bandwidth: float
    """Of the device's memory, bytes a second."""


def _alone(trace: Trace, machine: Machine, seconds: float | None) -> _Alone:
    phases = {
        phase: predict_time(replace(trace, calls=tuple(call for call in trace.calls if call.phase == phase)), machine)
        for phase in (FORWARD, BACKWARD, OPTIMIZER)
    }
    total = seconds or predict_time(trace, machine).step_seconds
    # The phases add up to the step.
    scale = total / (sum(found.step_seconds for found in phases.values()) or 1.0)
    passes = len(_backwards(trace))
    forward, backward = (phases[phase].step_seconds * scale / max(1, passes) for phase in (FORWARD, BACKWARD))
    update = phases[OPTIMIZER]
    shared = max(0.0, update.step_seconds - update.dispatch_seconds) * scale
    bandwidth = machine.device.memory_bandwidth_bytes_per_second.value
    return _Alone(total, passes, forward, backward, shared, bandwidth)


def _backwards(trace: Trace) -> list[tuple[int, int]]:
    """Where each backward pass of the second step begins and ends, as indexes into the events."""
    marks = [mark for mark in trace.phase_marks if trace.marks[1] <= mark[0]] + [(trace.marks[2], FORWARD)]
    return [(start, end) for (start, phase), (end, _) in pairwise(marks) if phase == BACKWARD and end > start]


def gradient_buckets(trace: Trace, reduced: float = 1.0) -> list[tuple[float, float]]:
    """DDP's buckets in order: when each is full, as a share of a backward pass, and its bytes.

    A gradient is ready when its storage is born; the distance of births stands for time. The last one ends the pass.
    """
    start, end = _backwards(trace)[0]
    buckets: list[tuple[float, float]] = []
    limit, size = FIRST_BUCKET_BYTES, 0.0
    for index in range(start, end):
        event = trace.events[index]
        if event >= 0 and trace.storages[event].category == "gradient":
            size += trace.storages[event].size * reduced
            if size >= limit:
                buckets.append(((index + 1 - start) / (end - start), size))
                limit, size = BUCKET_BYTES, 0.0
    if size:
        buckets.append((1.0, size))
    return [*buckets[:-1], (1.0, buckets[-1][1])] if buckets else []


def _ddp(buckets: list[tuple[float, float]], fabric: Fabric, alone: _Alone, *, overlaps: bool) -> ParallelTime:
    end = total = 0.0
    for ready, size in buckets:
        seconds = fabric.all_reduce(size).seconds
        end = max(end, (ready if overlaps else 1.0) * alone.backward) + seconds
        total += seconds
    exposed = max(0.0, end - alone.backward)
    moved = sum(size for _, size in buckets)
    copies = 4 * moved / alone.bandwidth  # into the buckets and back, each byte read and written
    step = (alone.seconds + copies) * _slowest(fabric.devices) + exposed
    return ParallelTime(step, alone.seconds, total, exposed, int(moved))


def _fsdp(blocks: list[Block], fabric: Fabric, alone: _Alone, *, reshard: bool) -> ParallelTime:
    root, *repeated = blocks
    gathers = [fabric.all_gather(block.parameter_bytes) for block in repeated]
    scatters = [fabric.reduce_scatter(block.gradient_bytes) for block in repeated]
    root_gather = fabric.all_gather(root.parameter_bytes).seconds
    root_scatter = fabric.reduce_scatter(root.gradient_bytes).seconds
    forward, backward = (seconds / max(1, len(repeated)) for seconds in (alone.forward, alone.backward))
    again = gathers if reshard else []
    # A block's gather hides behind the block before, the root's and the first block's behind nothing.
    exposed = alone.passes * (root_gather + _seconds(gathers[:1]) + _shown(gathers[1:], forward))
    exposed += alone.passes * _shown(again, backward)
    # In the last pass gradients are scattered, too: the first block's and the root's behind nothing.
    left = backward - _seconds(again) / max(1, len(repeated))
    exposed += _seconds(scatters[:1]) + _shown(scatters[1:], max(0.0, left)) + root_scatter
    total = alone.passes * (root_gather + _seconds(gathers) + _seconds(again)) + _seconds(scatters) + root_scatter
    often = alone.passes * (2 if reshard else 1)
    moved = often * sum(block.parameter_bytes for block in blocks) + sum(block.gradient_bytes for block in blocks)
    copies = 2 * moved / alone.bandwidth  # out of and into the collectives' buffers
    compute = alone.seconds - alone.optimizer * (1 - 1 / fabric.devices) + copies
    return ParallelTime(compute * _slowest(fabric.devices) + exposed, alone.seconds, total, exposed, moved)


def _shown(collectives: list[Collective], hidden: float) -> float:
    """What of some collectives delays the step where so many seconds of each could be hidden: its latency at least.

    llm-foundry's MPT models on 128 to 512 H100 slow down by nearly what their collectives' latency grows by.
    """
    return sum(max(found.latency, found.seconds - hidden) for found in collectives)


def _seconds(collectives: list[Collective]) -> float:
    return sum(found.seconds for found in collectives)
