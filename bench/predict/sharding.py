"""What several devices hold of a step: whole copies under `ddp`, shares under `fsdp`, and what communication adds.

DistributedDataParallel keeps its buckets beside the gradients (`gradient_as_bucket_view=False`, torch's default).
FSDP2 holds a share of every parameter, gradient and optimizer state, and besides the whole parameters of its root, of
the block at work and of the next one, and the whole gradients of two blocks that are under way
(https://arxiv.org/abs/2304.11277, section 3.3 and 4.3).

Known limitation: parameters outside the optimizer (a teacher) are counted whole.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace

from sslbench.bench.predict.identity import kept_for_itself
from sslbench.bench.quantities import Strategy
from sslbench.bench.trace.events import FORWARD, Storage, Trace

_SHARED = ("parameter", "gradient", "optimizer state")
_REPEATED = re.compile(r"^(.*?\.\d+)(\.|$)")


@dataclass(frozen=True, slots=True)
class Block:
    """Parameters that are gathered together."""

    parameter_bytes: int
    gradient_bytes: int

    def scaled(self, gathered: float, reduced: float) -> "Block":
        """The block with its parameters and gradients in other types, as shares of their own bytes."""
        return Block(int(self.parameter_bytes * gathered), int(self.gradient_bytes * reduced))


def blocks_of(trace: Trace) -> list[Block]:
    """The root, which has what is in no repeated block, and every outermost repeated block."""
    parameters: Counter[str] = Counter()
    gradients: Counter[str] = Counter()
    for storage in trace.storages:
        if storage.category == "parameter":
            parameters[_block_name(trace.modules[storage.module])] += storage.size
    for event in trace.events[trace.marks[1] :]:
        if event >= 0 and trace.storages[event].category == "gradient":
            storage = trace.storages[event]
            gradients[_block_name(trace.modules[storage.module])] += storage.size
    names = ["", *(name for name in parameters if name)]
    return [Block(parameters[name], gradients[name]) for name in names]


def _block_name(module: str) -> str:
    match = _REPEATED.match(module)
    return match[1] if match else ""


@kept_for_itself(16)
def on_one_of(trace: Trace, strategy: Strategy, devices: int) -> Trace:
    """The trace of a training step as one of several devices runs it: its storages with what the strategy adds."""
    if devices == 1 or not any(storage.category == "gradient" for storage in trace.storages):
        return trace
    blocks = blocks_of(trace)
    if strategy == "ddp":
        return _with_buffer(trace, sum(block.gradient_bytes for block in blocks))
    root, *rest = blocks
    parameters = sorted((block.parameter_bytes for block in rest), reverse=True)
    gradients = sorted((block.gradient_bytes for block in rest), reverse=True)
    share = tuple(
        replace(storage, size=-(-storage.size // devices)) if storage.category in _SHARED else storage
        for storage in trace.storages
    )
    whole = root.parameter_bytes + root.gradient_bytes + sum(parameters[:2]) + sum(gradients[:2])
    return _with_buffer(replace(trace, storages=share), whole)


def _with_buffer(trace: Trace, size_bytes: int) -> Trace:
    """The trace with one more storage, from the first step on."""
    buffer = Storage(size=size_bytes, category="temporary", phase=FORWARD, module=0, operator="communication")
    start = trace.marks[0]
    return replace(
        trace,
        storages=(*trace.storages, buffer),
        events=(*trace.events[:start], len(trace.storages), *trace.events[start:]),
        marks=(start, *(mark + 1 for mark in trace.marks[1:])),
        phase_marks=tuple((index + (index > start), phase) for index, phase in trace.phase_marks),
    )
