"""A trace by source line: which line of which module makes which storages, how long they live, and what it computes.

Repeated blocks count together, so that a snapshot of a deep model stays small. Imports no torch.
"""

import linecache
import sys
from bisect import bisect_right
from collections import defaultdict
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

from sslbench.bench.gate.snapshot import KEPT, Called, Site, Stored
from sslbench.bench.predict.gpu_kernels import operator_kernels
from sslbench.bench.trace.events import BUILD, FORWARD, PHASES, WORKSPACE, Call, OperatorKind, Trace, module_pattern
from sslbench.bench.trace.lifetimes import Peak, alive_after, part_range

_Place = tuple[str, str]
"""Module and line."""
_OWN = Path(__file__).parents[2]


def sites(trace: Trace, peak: Peak) -> tuple[Site, ...]:
    """Every line of a trace with its storages and calls, in the order of module and line."""
    storages, calls = _storages(trace, peak), _calls(trace)
    return tuple(
        Site(
            module=module,
            line=line,
            text=source_text(line),
            storages=tuple(storages.get((module, line), ())),
            calls=tuple(calls.get((module, line), ())),
        )
        for module, line in sorted(storages.keys() | calls.keys(), key=_in_order)
    )


def _in_order(place: _Place) -> tuple[str, str, int]:
    path, _, number = place[1].rpartition(":")
    return place[0], path, int(number or 0)


def _storages(trace: Trace, peak: Peak) -> dict[_Place, list[Stored]]:
    alive = alive_after(trace, peak.position)
    born = {trace.events[position] for position in part_range(trace, peak.part) if trace.events[position] >= 0}
    ends = _ends(trace)
    groups: dict[_Place, dict[tuple[str, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for index in alive | born:
        storage = trace.storages[index]
        if storage.size:
            key = (storage.category, storage.operator, PHASES[storage.phase], ends.get(index, KEPT))
            # A library's workspace falls to whichever operator uses the library first.
            kept = storage.operator == WORKSPACE
            groups[("", "") if kept else _place(trace, storage.module, storage.line)][key].append(index)
    return {
        place: [_stored(trace, *group, alive) for group in sorted(found.items())] for place, found in groups.items()
    }


def _ends(trace: Trace) -> dict[int, str]:
    """Phase in which each storage that does not outlive the trace is freed."""
    stretches = _stretches(trace)
    return {~event: _phase(stretches, position) for position, event in enumerate(trace.events) if event < 0}


def phase_at(trace: Trace, position: int) -> str:
    """The phase of the event at a position."""
    return _phase(_stretches(trace), position)


def _phase(stretches: list[tuple[int, int]], position: int) -> str:
    return PHASES[stretches[bisect_right(stretches, (position, len(PHASES))) - 1][1]]


def _stretches(trace: Trace) -> list[tuple[int, int]]:
    """(first event, phase) of each phase of build and steps; what a step's end frees counts to the phase before it."""
    marks = trace.phase_marks
    ends = [start for start, _ in marks[1:]] + [len(trace.events)]
    stretches: list[tuple[int, int]] = []
    for start, stop in pairwise((0, *trace.marks)):
        part = [
            (max(first, start), phase)
            for (first, phase), end in zip(marks, ends, strict=True)
            if first < stop and end > start
        ]
        if len(part) > 1 and part[-1][1] == FORWARD:
            part[-1] = (part[-1][0], part[-2][1])
        stretches += part
    return stretches or [(0, BUILD)]


def _stored(trace: Trace, key: tuple[str, ...], indices: list[int], alive: set[int]) -> Stored:
    category, operator, born, dies = key
    sizes = [trace.storages[index].size for index in indices]
    at_peak = [trace.storages[index].size for index in indices if index in alive]
    return Stored(
        category=category,
        operator=operator,
        born=born,
        dies=dies,
        count=len(sizes),
        bytes=sum(sizes),
        peak_count=len(at_peak),
        peak_bytes=sum(at_peak),
    )


def _calls(trace: Trace) -> dict[_Place, list[Called]]:
    groups: dict[_Place, dict[tuple[str, str], list[Call]]] = defaultdict(lambda: defaultdict(list))
    for call in trace.calls:
        key = (trace.kinds[call.kind].name, PHASES[call.phase])
        groups[_place(trace, call.module, call.line)][key].append(call)
    launches = [launched(kind, trace.target) for kind in trace.kinds]
    return {
        place: [_called(trace, launches, *group) for group in sorted(found.items(), key=itemgetter(0))]
        for place, found in groups.items()
    }


def _called(trace: Trace, launches: list[int], key: tuple[str, str], calls: list[Call]) -> Called:
    kinds = [trace.kinds[call.kind] for call in calls]
    return Called(
        operator=key[0],
        phase=key[1],
        count=len(kinds),
        launches=sum(launches[call.kind] for call in calls),
        flops=sum(kind.flops for kind in kinds),
        bytes_moved=sum(kind.bytes_read + kind.bytes_written for kind in kinds),
    )


def launched(kind: OperatorKind, target: str) -> int:
    """Kernels that a call launches on a GPU, as far as they are known; on a CPU an operator is one."""
    return len(operator_kernels(kind)) if target == "cuda" else int(not kind.is_view)


def _place(trace: Trace, module: int, line: int) -> _Place:
    return module_pattern(trace.modules[module]), trace.lines[line]


def source_text(line: str) -> str:
    """What a line of a trace (`path:number`) says, without indentation; empty where the file is not at hand."""
    path, _, number = line.rpartition(":")
    if not path:
        return ""
    own = [_OWN / path.removeprefix("sslbench/")] if path.startswith("sslbench/") else []
    for file in (*own, *(Path(folder, path) for folder in ("", *sys.path))):
        if file.is_file():
            linecache.checkcache(str(file))
            return linecache.getline(str(file), int(number)).strip()
    return ""
