"""Compares snapshots: what each traced step costs on both sides, exactly, and which lines the difference comes from.

There is no noise: the same code with the same versions has the same numbers, so every difference is one of the code.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

from sslbench.bench.comparison import (
    Cause,
    Comparison,
    Limit,
    MetricChange,
    StepChange,
    Unit,
    judged,
    version_differences,
)
from sslbench.bench.errors import SSLBenchError
from sslbench.bench.files import without_home
from sslbench.bench.gate.attribution import memory_causes, work_causes
from sslbench.bench.gate.snapshot import Called, GraphBreaks, OnnxGraph, Snapshot, StepSnapshot, load_snapshot
from sslbench.bench.gate.take import Asked, take_step, versions_of
from sslbench.bench.quantities import Part
from sslbench.bench.trace.cache import TraceCache, cache_folder

MIB = 2**20
LIMITS = {
    "requested": Limit(share=0.005, amount=MIB - 1),
    "memory": Limit(share=0.01),
    "reserved": Limit(share=0.05),
    "flops": Limit(share=0.005),
    "bytes": Limit(share=0.01),
    "launches": Limit(share=0.01),
    "breaks": Limit(amount=0),
}
"""What may get worse by default.

Tensors at the peak: less than 1 MiB, and not more than 0.5 %. The allocator's own numbers may move by more, since the
order of equal allocations changes which free blocks fit: 1 % allocated, and 5 % reserved, which comes in segments of 2
or 20 MiB. FLOPs and launches are those of chosen kernels: 0.5 and 1 %. No further graph break.
"""
VERSIONS = "versions"
_Key = tuple[str, str]


def compare_snapshots(
    base: Path, against: Path, limits: Mapping[str, Limit] | None = None, allow: Collection[str] = ()
) -> Comparison:
    """Compare a snapshot with another one, or with the code in a folder.

    Args:
        base: the snapshot's file.
        against: another snapshot's file, or the folder that the snapshot's steps are traced in again.
        limits: what may get worse, where it is not the default: `memory` (requested, allocated and reserved bytes),
            `flops`, `bytes` (moved), `launches`.
        allow: `versions` compares in spite of other versions.

    Raises:
        SnapshotError: a file cannot be read.
    """
    old = load_snapshot(base)
    versions, found = _traced_again(old, against) if against.is_dir() else _loaded(load_snapshot(against))
    different = [] if VERSIONS in allow else _differences(old.versions, versions)
    steps = [_step(step, found.get(_key(step)), different, _limits(limits or {})) for step in old.steps]
    added = found.keys() - {_key(step) for step in old.steps}
    notes = tuple(f"{recipe} on {target} is not in {base}: it is not compared" for recipe, target in sorted(added))
    return Comparison(base=without_home(str(base)), new=without_home(str(against)), steps=tuple(steps), notes=notes)


# ---------------------------------------------------------------------- the two sides
_Found = dict[_Key, StepSnapshot | SSLBenchError]


def _key(step: StepSnapshot) -> _Key:
    return step.title, step.target.name


def _loaded(snapshot: Snapshot) -> tuple[dict[str, str], _Found]:
    return snapshot.versions, {_key(step): step for step in snapshot.steps}


def _traced_again(snapshot: Snapshot, folder: Path) -> tuple[dict[str, str], _Found]:
    """The snapshot's steps as the code in a folder has them; a step that cannot be traced there has its error."""
    found: _Found = {}
    cache = TraceCache(cache_folder())
    with chdir(folder):
        for step in snapshot.steps:
            try:
                found[_key(step)] = take_step(_asked(step), cache)
            except SSLBenchError as error:
                found[_key(step)] = error
    return versions_of(step for step in found.values() if isinstance(step, StepSnapshot)), found


def _asked(step: StepSnapshot) -> Asked:
    graph, onnx = step.graph is not None, step.onnx is not None
    return Asked(step.recipe, step.changes, step.target, graph=graph, onnx=onnx)


def _differences(base: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Versions that differ; a library that only one side goes through is a change of the code."""
    both = base.keys() & new.keys()
    return version_differences({name: base[name] for name in both}, {name: new[name] for name in both})


# ---------------------------------------------------------------------- one step
def _step(
    base: StepSnapshot, new: StepSnapshot | SSLBenchError | None, versions: list[str], limits: Mapping[str, Limit]
) -> StepChange:
    refused = [f"{difference}: `--allow {VERSIONS}` compares nevertheless" for difference in versions]
    if new is None:
        refused = ["it is not in the new snapshot"]
    elif not isinstance(new, StepSnapshot):
        refused = [str(new)]
    elif base.target != new.target:
        refused = [f"{base.target.name} stands for another device: make the snapshot again"]
    if refused or not isinstance(new, StepSnapshot):
        return StepChange(name=base.title, where=base.target.name, layer="exact", refused=tuple(refused))
    return StepChange(
        name=base.title,
        where=base.target.name,
        layer="exact",
        metrics=tuple(_metrics(base, new, limits)),
        notes=tuple(_recipe_differences(base.resolved, new.resolved)),
    )


def _recipe_differences(base: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted(base.keys() | new.keys()):
        if base.get(key) != new.get(key):
            yield f"the recipe's {key}: {base.get(key, 'default')}, now {new.get(key, 'default')}"


def _metrics(base: StepSnapshot, new: StepSnapshot, limits: Mapping[str, Limit]) -> Iterator[MetricChange]:
    yield from _memory(base, new, limits)
    yield from _work(base, new, limits)
    if base.graph is not None and new.graph is not None:
        yield _metric(
            "graph.breaks", "count", (base.graph, new.graph), limits["breaks"], _breaks(base.graph, new.graph)
        )
    if base.onnx is not None and new.onnx is not None:
        yield _metric("onnx.nodes", "count", (base.onnx, new.onnx), None, _nodes(base.onnx, new.onnx))


def _breaks(base: GraphBreaks, new: GraphBreaks) -> tuple[Cause, ...]:
    """Breaks that one side has alone, known again by their reason: lines move."""
    old, now = (Counter(reason.partition(": ")[2] for reason in side.reasons) for side in (base, new))
    places = {reason.partition(": ")[2]: reason.partition(": ")[0] for reason in (*base.reasons, *new.reasons)}
    return tuple(
        Cause(
            text=f"{reason} at {places[reason]}",
            change=now[reason] - old[reason],
            file=places[reason].rpartition(":")[0],
            line=int(places[reason].rpartition(":")[2]) if ":" in places[reason] else None,
        )
        for reason in sorted(places)
        if now[reason] != old[reason]
    )


def _nodes(base: OnnxGraph, new: OnnxGraph) -> tuple[Cause, ...]:
    names = sorted(base.operators.keys() | new.operators.keys())
    changes = {name: new.operators.get(name, 0) - base.operators.get(name, 0) for name in names}
    return _told(changes)


def _memory(base: StepSnapshot, new: StepSnapshot, limits: Mapping[str, Limit]) -> Iterator[MetricChange]:
    old, now = base.memory, new.memory
    causes = memory_causes(base.sites, new.sites)
    yield _metric("memory.peak_requested_bytes", "bytes", (old, now), limits["requested"], causes)
    if now.peak_reserved_bytes is None or old.peak_reserved_bytes is None:
        return  # on a CPU there is no allocator that rounds
    tensors = now.peak_requested_bytes - old.peak_requested_bytes
    workspace = now.workspace_bytes - old.workspace_bytes
    allocated = now.peak_allocated_bytes - old.peak_allocated_bytes
    reserved = now.peak_reserved_bytes - old.peak_reserved_bytes
    parts = {_TENSORS: tensors, _WORKSPACE: workspace, _ROUNDING: allocated - tensors - workspace}
    yield _metric("memory.peak_allocated_bytes", "bytes", (old, now), limits["memory"], _told(parts))
    parts = {_ALLOCATED: allocated, _FREE: reserved - allocated}
    yield _metric("memory.peak_reserved_bytes", "bytes", (old, now), limits["reserved"], _told(parts))


_TENSORS = "in tensors"
_WORKSPACE = "in cuDNN's workspace"
_ROUNDING = "in what the allocator rounds up to, and blocks that it does not split"
_ALLOCATED = "allocated"
_FREE = "in free blocks that the allocator keeps"


def _told(parts: Mapping[str, int]) -> tuple[Cause, ...]:
    return tuple(Cause(text=text, change=change) for text, change in parts.items() if change)


def _work(base: StepSnapshot, new: StepSnapshot, limits: Mapping[str, Limit]) -> Iterator[MetricChange]:
    old, now = base.work, new.work
    amounts: dict[str, tuple[Unit, Limit | None, Callable[[Called], int]]] = {
        "flops": ("FLOP", limits["flops"], lambda row: row.flops),
        "bytes_moved": ("bytes", limits["bytes"], lambda row: row.bytes_moved),
        "kernel_launches": ("count", limits["launches"], lambda row: row.launches),
        "operators": ("count", None, lambda row: row.count),
    }
    for name, (unit, limit, amount) in amounts.items():
        causes = work_causes(base.sites, new.sites, amount)
        yield _metric(f"work.{name}", unit, (old, now), limit, causes)
    yield _metric("work.parameters", "count", (old, now), None, ())


def _metric(
    name: str, unit: Unit, sides: tuple[Part, Part], limit: Limit | None, causes: tuple[Cause, ...]
) -> MetricChange:
    """The metric that both sides have under the last part of its name."""
    old, now = (float(getattr(side, name.rpartition(".")[2])) for side in sides)
    allowed = None if limit is None else limit.allowed(old)
    return MetricChange(
        name=name,
        unit=unit,
        base=old,
        new=now,
        allowed=allowed,
        outcome=judged(old, now, allowed),
        causes=causes if old != now else (),
    )


def _limits(given: Mapping[str, Limit]) -> dict[str, Limit]:
    """The default limits with those that the user gave; one of memory is for all three sums of it."""
    memory = dict.fromkeys(("requested", "reserved"), given["memory"]) if "memory" in given else {}
    return {**LIMITS, **given, **memory}
