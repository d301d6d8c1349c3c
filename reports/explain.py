"""What a prediction rests on, in words: the rows of the tables that `fit --explain` shows, and no markup."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.bench.explanation import Alive, ConstantUsed, Explanation, OperatorTime
from sslbench.bench.record import Record
from sslbench.reports.timeline import timeline_totals
from sslbench.reports.units import format_bytes, format_seconds, format_si, significant
from sslbench.reports.words import LABEL_LENGTH, machine_title, plain

TOP_STORAGES = 10
TOP_OPERATORS = 8
BOUNDS = {"compute": "arithmetic", "bandwidth": "memory traffic", "launch": "launching"}
_FACTOR = "factor."


@dataclass(frozen=True, slots=True)
class AliveRow:
    """Storages of a module and a category."""

    size: str
    share: str
    storages: str
    """How many, of which category."""
    module: str
    made_by: str
    """`addmm at transformers/models/bert/modeling_bert.py:335`."""


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """An operator's time."""

    time: str
    share: str
    bound: str
    intensity: str
    """Arithmetic intensity, such as `196 FLOP/B`; empty without FLOP."""
    reached: str
    """`105 TFLOP/s`, or without FLOP `720 GB/s`."""
    calls: str
    operator: str


@dataclass(frozen=True, slots=True)
class ConstantRow:
    """A constant with what it means and where it comes from."""

    name: str
    value: str
    meaning: str
    source: str


@dataclass(frozen=True, slots=True)
class ExplainView:
    """One prediction's explanation in words; the chart is drawn by the renderer, which knows its width."""

    machine: str
    explanation: Explanation
    room_bytes: int | None
    """What the machine leaves for tensors: its capacity less what is required beside them."""
    part: str
    room: str
    phase_peaks: str
    alive_total: str
    alive: tuple[AliveRow, ...]
    device_time: str
    operators: tuple[OperatorRow, ...]
    constants: tuple[ConstantRow, ...]


def explain_views(records: Sequence[Record]) -> list[ExplainView]:
    """The explanations among some records."""
    return [_view(record, record.explain) for record in records if record.explain is not None]


def _view(record: Record, explanation: Explanation) -> ExplainView:
    timeline = explanation.timeline
    peak = max(timeline_totals(timeline), default=0)
    room = _room(record, peak)
    total = sum(row.bytes for row in explanation.alive_at_peak)
    storages = sum(row.storages for row in explanation.alive_at_peak)
    phases = [
        f"{plain(name, LABEL_LENGTH)} {format_bytes(size)}" for name, size in explanation.phase_peaks_bytes.items()
    ]
    device, launch = format_seconds(explanation.device_seconds), format_seconds(explanation.launch_seconds)
    return ExplainView(
        machine=machine_title(record.machine),
        explanation=explanation,
        room_bytes=room,
        part=f"{timeline.part}, {timeline.events:,} allocations and frees",
        room=_room_words(room, peak),
        phase_peaks=", ".join(phases),
        alive_total=f"{format_bytes(total)} in {_storages(storages)}",
        alive=_alive(explanation.alive_at_peak, total),
        device_time=f"{device} on the device, {launch} to launch them from the host",
        operators=_operators(explanation),
        constants=_constants(explanation.constants),
    )


def _room(record: Record, peak: int) -> int | None:
    memory = record.memory
    if memory.capacity_bytes is None or memory.required_bytes is None:
        return None
    return memory.capacity_bytes - (memory.required_bytes - peak)


def _room_words(room: int | None, peak: int) -> str:
    if room is None or room <= 0 or peak <= 0:
        return ""
    return f"{format_bytes(room)} are left for tensors on this machine, {significant(room / peak)} times the peak"


def _alive(rows: Sequence[Alive], total: int) -> tuple[AliveRow, ...]:
    root = _common_root([row.module for row in rows if row.module])
    shown = [
        AliveRow(
            size=format_bytes(row.bytes),
            share=_share(row.bytes, total),
            storages=_storages(row.storages, row.category),
            module=plain(row.module.removeprefix(root) or "(outside a module)", LABEL_LENGTH),
            made_by=_made_by(row),
        )
        for row in rows[:TOP_STORAGES]
    ]
    rest = rows[TOP_STORAGES:]
    if rest:
        size, storages = sum(row.bytes for row in rest), sum(row.storages for row in rest)
        shown.append(
            AliveRow(format_bytes(size), _share(size, total), _storages(storages), f"{len(rest):,} smaller groups", "")
        )
    return tuple(shown)


def _common_root(modules: Sequence[str]) -> str:
    """`BertForMaskedLM.` where every module below the root is one of its parts."""
    roots = {module.partition(".")[0] for module in modules}
    return f"{roots.pop()}." if len(roots) == 1 else ""


def _made_by(row: Alive) -> str:
    operator = short_operator(row.operator)
    return plain(f"{operator} at {row.line}" if row.line else operator, 2 * LABEL_LENGTH)


def short_operator(name: str) -> str:
    """An operator without its namespace and its default overload: `addmm` of `aten.addmm.default`."""
    return name.removeprefix("aten.").removesuffix(".default")


def _storages(count: int, category: str = "") -> str:
    """`12 activation storages`."""
    words = f"{category} storage" if category else "storage"
    return plain(f"{count:,} {words}{'' if count == 1 else 's'}", LABEL_LENGTH)


def _share(part: float, whole: float) -> str:
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.0f} %" if percent >= 1 else "< 1 %"


def _operators(explanation: Explanation) -> tuple[OperatorRow, ...]:
    return tuple(operator_row(row, explanation.device_seconds) for row in explanation.operators[:TOP_OPERATORS])


def operator_row(row: OperatorTime, whole_seconds: float) -> OperatorRow:
    """An operator's time in words; `whole_seconds`: of all operators."""
    return OperatorRow(
        time=format_seconds(row.seconds),
        share=_share(row.seconds, whole_seconds),
        bound=BOUNDS[row.bound],
        intensity=f"{significant(row.flops / row.bytes)} FLOP/B" if row.flops and row.bytes else "",
        reached=_reached(row),
        calls=f"{row.calls:,} x" if row.calls else "",
        operator=plain(short_operator(row.operator), LABEL_LENGTH),
    )


def _reached(row: OperatorTime) -> str:
    if not row.seconds or not (row.flops or row.bytes):
        return ""
    return format_si((row.flops or row.bytes) / row.seconds, "FLOP/s" if row.flops else "B/s")


def _constants(constants: Sequence[ConstantUsed]) -> tuple[ConstantRow, ...]:
    """One row a constant; the factors of kernels share one for each source."""
    rows = [
        ConstantRow(plain(each.name, LABEL_LENGTH), _value(each), plain(each.meaning), plain(each.source))
        for each in constants
        if not each.name.startswith(_FACTOR)
    ]
    factors: dict[str, list[str]] = {}
    for each in constants:
        if each.name.startswith(_FACTOR):
            name = each.name.removeprefix(_FACTOR).replace(".", " ").replace("-", " ")
            factors.setdefault(each.source, []).append(f"{name} {each.value:g}")
    rows += [
        ConstantRow("factors", "", plain(f"times an ideal kernel's time: {', '.join(parts)}"), plain(source))
        for source, parts in factors.items()
    ]
    return tuple(rows)


def _value(constant: ConstantUsed) -> str:
    match constant.unit:
        case "B":
            return format_bytes(constant.value)
        case "s":
            return format_seconds(constant.value)
        case "B/s" | "FLOP/s":
            return format_si(constant.value, constant.unit)
    return f"{constant.value:g} {plain(constant.unit, LABEL_LENGTH)}".strip()
