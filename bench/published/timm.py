"""Steps of timm's own benchmark with their published throughput, of models that no factor was fitted to.

`timm_steps.json.gz` has the operators of each step, as timm's benchmark.py runs it under autocast in fp16 (inference
with `--fast-norm`), traced once: timm's versions differ in their models, and a traced step needs no timm. Source:
https://github.com/huggingface/pytorch-image-models/tree/main/results.
"""

import gzip
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from sslbench.bench.trace.events import FORWARD, Call, OperatorKind, Storage, Trace

GROUPS = ("timm-inference", "timm-training", "timm-compiled")
_SOURCE = "timm_steps.json.gz"


@dataclass(frozen=True, slots=True)
class TimmStep:
    """One step, and what was published of it."""

    group: str
    name: str
    """Model, layout, image size and batch."""
    trace: Trace
    """In eager mode; without storages, unless the rows are of torch.compile."""
    rows: tuple[tuple[str, str, float], ...]
    """(machine, version of torch, seconds of a step)."""

    @property
    def is_compiled(self) -> bool:
        """Whether the rows are of torch.compile."""
        return self.group == "timm-compiled"


@cache
def timm_steps() -> tuple[TimmStep, ...]:
    """Every step, drawn at random from one half of the models of timm's tables."""
    packed = files("sslbench.bench.published").joinpath(_SOURCE).read_bytes()
    return tuple(_step(table) for table in json.loads(gzip.decompress(packed)))


def _step(table: dict[str, Any]) -> TimmStep:
    layout = "NHWC" if table["channels_last"] else "NCHW"
    return TimmStep(
        group=table["group"],
        name=f"{table['model']}, {layout}, {table['image_size']} px, batch {table['batch']}",
        trace=_trace(table),
        rows=tuple((machine, torch, table["batch"] / rate) for machine, torch, rate in table["published"]),
    )


def _trace(table: dict[str, Any]) -> Trace:
    kinds = tuple(
        OperatorKind(name, tuple((dtype, tuple(shape)) for dtype, shape in inputs), flops, read, written, view, last)
        for name, flops, read, written, view, last, inputs in table["kinds"]
    )
    # Storages: a step's own are freed in it, all others are there before and after it.
    sizes, own = table.get("sizes", []), table.get("own", [])
    return Trace(
        target="cuda",
        batch_size=table["batch"],
        storages=tuple(Storage(size, "activation", FORWARD, 0, "") for size in sizes),
        events=tuple(event for storage in own for event in (storage, ~storage)),
        marks=(0, 0, 2 * len(own)),
        phase_marks=(),
        kinds=kinds,
        calls=tuple(
            Call(kind, phase, 0, reads=tuple(reads), writes=tuple(writes))
            for kind, phase, reads, writes, count in table["calls"]
            for _ in range(count)
        ),
        modules=("",),
        parameters=0,
    )
