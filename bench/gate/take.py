"""Takes snapshots: recipes traced for kinds of devices, or found in the cache. Imports torch only to trace.

A step of the user's own must lie in the working folder: its paths are then the same on every host.
"""

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslbench.bench.environment import package_version
from sslbench.bench.errors import SnapshotError
from sslbench.bench.fit import load_trace, target_of, with_defaults
from sslbench.bench.gate.sites import launched, phase_at, sites
from sslbench.bench.gate.snapshot import (
    GraphBreaks,
    OnnxGraph,
    PeakMemory,
    Snapshot,
    StepSnapshot,
    TargetDevice,
    TotalWork,
)
from sslbench.bench.machines import find_machine
from sslbench.bench.onnx.cache import ModelCache, model_folder
from sslbench.bench.predict.workspace import workspace_bytes
from sslbench.bench.recipe import Recipe
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.allocator import replay
from sslbench.bench.trace.cache import LIBRARIES, TraceCache
from sslbench.bench.trace.events import Trace
from sslbench.bench.trace.lifetimes import find_peak

CAPABILITY = (8, 0)
"""Of the target `cuda`: an Ampere card or newer, with flash attention."""
CPU_THREADS = 8
"""Of the target `cpu`; a fixed number, so that a snapshot does not depend on the host's cores."""
_TARGET = re.compile(r"cuda(?::(?P<major>\d{1,2})\.(?P<minor>\d))?|cpu(?::(?P<threads>[1-9]\d{0,3}))?")
_SAID_ELSEWHERE = {"name", "title", "paper", "factory"}


def find_target(name: str) -> TargetDevice:
    """The kind of device that a name means.

    Args:
        name: `cuda`, `cuda:9.0` (compute capability), `cpu`, `cpu:16` (threads), or a machine as `fit` takes it, which
            stands for the kind of its device.

    Raises:
        MachineError: it is none of these.
    """
    match = _TARGET.fullmatch(name)
    if match is None:
        device, capability = target_of(find_machine(name).device)
    else:
        device = "cpu" if name.startswith("cpu") else "cuda"
        capability = (int(match["major"]), int(match["minor"])) if match["major"] else CAPABILITY
    if device == "cuda":
        return TargetDevice(name=name, device="cuda", capability=capability)
    threads = int(match["threads"]) if match is not None and match["threads"] else CPU_THREADS
    return TargetDevice(name=name, device="cpu", threads=threads)


@dataclass(frozen=True, slots=True)
class Asked:
    """A step to take: of what, for what."""

    recipe: str
    """As `resolve_recipe` takes it."""
    changes: dict[str, Any]
    target: TargetDevice
    graph: bool = False
    """Whether graph breaks are counted."""
    onnx: bool = False
    """Whether the inference step is exported."""


def take_snapshot(steps: Iterable[Asked], cache: TraceCache) -> Snapshot:
    """Trace steps in the working folder.

    Args:
        steps: what is taken.
        cache: where traces are kept between calls.

    Raises:
        SSLBenchError: a step cannot be built or traced.
    """
    taken = [take_step(step, cache) for step in steps]
    return Snapshot(versions=versions_of(taken), steps=tuple(taken))


def take_step(asked: Asked, cache: TraceCache) -> StepSnapshot:
    """One step of a snapshot; arguments and errors as of `take_snapshot`."""
    recipe, target = _in_folder(asked.recipe), asked.target
    resolved = with_defaults(resolve_recipe(recipe, asked.changes))
    # First of all: a trace leaves a light stand-in in torch._dynamo's place with what it imports.
    graph = _graph_breaks(resolved) if asked.graph else None
    trace = _traced(resolved, target, cache)
    return StepSnapshot(
        recipe=recipe,
        changes=asked.changes,
        resolved=resolved.model_dump(mode="json", exclude_defaults=True, exclude=_SAID_ELSEWHERE),
        target=target,
        memory=_memory(trace, expandable=resolved.expandable_segments),
        work=_work(trace),
        graph=graph,
        onnx=_onnx_nodes(resolved, keep=cache.folder is not None) if asked.onnx else None,
        sites=sites(trace, find_peak(trace)),
    )


def _graph_breaks(recipe: Recipe) -> GraphBreaks:
    from sslbench.bench.gate.graphs import graph_breaks  # noqa: PLC0415 - imports torch._dynamo

    return graph_breaks(recipe)


def _onnx_nodes(recipe: Recipe, *, keep: bool) -> OnnxGraph:
    from sslbench.bench.gate.onnx_nodes import onnx_nodes  # noqa: PLC0415 - imports onnx, and torch to export

    return onnx_nodes(recipe, ModelCache(model_folder() if keep else None))


def _in_folder(recipe: str) -> str:
    """A recipe that is a file, by its path from the working folder on; any other as it is."""
    file, colon, name = recipe.partition(".py:")
    path = Path(file + (".py" if colon else ""))
    if not path.is_file():
        return recipe
    if not path.resolve().is_relative_to(Path.cwd()):
        raise SnapshotError(
            f"{path}: lies outside the working folder: go to the project's folder, so that paths in the snapshot are "
            "the same everywhere"
        )
    return path.resolve().relative_to(Path.cwd()).as_posix() + (f":{name}" if colon else "")


def _traced(recipe: Recipe, target: TargetDevice, cache: TraceCache) -> Trace:
    if target.threads is None:
        return load_trace(recipe, target.device, target.capability or CAPABILITY, cache)
    import torch  # noqa: PLC0415 - takes a second

    # The cache keeps a CPU's traces by the threads of this host.
    before = torch.get_num_threads()
    torch.set_num_threads(target.threads)
    try:
        return load_trace(recipe, target.device, (0, 0), TraceCache(None))
    finally:
        torch.set_num_threads(before)


def _memory(trace: Trace, *, expandable: bool) -> PeakMemory:
    peak, workspace = find_peak(trace), workspace_bytes(trace)
    allocator = replay([storage.size for storage in trace.storages], trace.events, expandable=expandable)
    on_gpu = trace.target == "cuda"
    return PeakMemory(
        peak_requested_bytes=peak.bytes,
        peak_allocated_bytes=allocator.peak_allocated_bytes + workspace if on_gpu else peak.bytes,
        peak_reserved_bytes=allocator.peak_reserved_bytes + workspace if on_gpu else None,
        workspace_bytes=workspace,
        part=peak.part,
        phase=phase_at(trace, peak.position),
    )


def _work(trace: Trace) -> TotalWork:
    kinds = [trace.kinds[call.kind] for call in trace.calls]
    return TotalWork(
        flops=sum(kind.flops for kind in kinds),
        bytes_moved=sum(kind.bytes_read + kind.bytes_written for kind in kinds),
        operators=len(kinds),
        kernel_launches=sum(launched(kind, trace.target) for kind in kinds),
        parameters=trace.parameters,
    )


def versions_of(steps: Iterable[StepSnapshot]) -> dict[str, str]:
    """Versions of Python (without its patch) and of the libraries that lines of some steps lie in.

    Build tags are left out: a trace of `2.9.0+cu128` and of `2.9.0+cpu` is the same.
    """
    taken = list(steps)
    through = {site.line.partition("/")[0] for step in taken for site in step.sites} | {"sslbench", "torch"}
    exporters = {"onnx", "onnxscript"} if any(step.onnx is not None for step in taken) else set()
    found = {
        name: (package_version(name) or "unknown").partition("+")[0]
        for name in sorted(through & set(LIBRARIES) | exporters)
    }
    return {"python": ".".join(platform.python_version_tuple()[:2]), **found}
