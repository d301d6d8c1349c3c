"""What stands below the figures: warnings, what is not known, and the commands, each with the records that carry it."""

from collections.abc import Iterator, Mapping, Sequence

from sslbench.bench.record import Record
from sslbench.reports.sweep import Sweep
from sslbench.reports.view import command_text
from sslbench.reports.words import LABEL_LENGTH, machine_title, plain, recipe_label

_MOST_NAMED = 3
"""Records that a note names; of more it says how many."""
_NOT_MISSED = ("verdict", "probability_fits", "max_batch_size", "memory.interval_bytes")
"""Fields that a measurement never has: nobody misses them."""
_OF_A_GPU = ("state.gpu_before", "state.gpu_after", "memory.device_used_bytes")
"""Fields that nobody misses of a step on a processor."""

Labels = Mapping[int, str]
"""Label by `id()` of the record."""


def record_labels(records: Sequence[Record], sweeps: Sequence[Sweep]) -> Labels:
    """What each record is called: recipe and machine, and what tells it from others of its sweep."""
    varied = {id(row.record): row.label for sweep in sweeps for row in sweep.rows}
    return {id(record): _label(record, varied.get(id(record), "")) for record in records}


def _label(record: Record, varied: str) -> str:
    name = f"{record.kind}: {recipe_label(record.recipe).name} on {machine_title(record.machine)}"
    return f"{name} ({varied})" if varied else name


def warning_notes(records: Sequence[Record], labels: Labels) -> tuple[tuple[str, str], ...]:
    """Each warning once, with the records that carry it."""
    carriers: dict[str, list[str]] = {}
    for record in records:
        for warning in record.warnings:
            carriers.setdefault(plain(warning), []).append(labels[id(record)])
    return tuple((warning, _named(names)) for warning, names in carriers.items())


def unknown_notes(records: Sequence[Record], labels: Labels) -> tuple[tuple[str, str, str], ...]:
    """Fields that are not known for one reason, the reason, and the records that lack them."""
    paths: dict[tuple[str, str], dict[str, None]] = {}
    lacking: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for path, reason in _missed(record):
            lacking.setdefault((path, reason), []).append(labels[id(record)])
    for (path, reason), names in lacking.items():
        paths.setdefault((reason, _named(names)), {})[path] = None
    return tuple((", ".join(found), reason, names) for (reason, names), found in paths.items())


def _missed(record: Record) -> Iterator[tuple[str, str]]:
    idle: tuple[str, ...] = _NOT_MISSED if record.kind == "measurement" else ()
    if record.machine.device.kind == "cpu":
        idle += _OF_A_GPU
    for path, reason in record.unknown.items():
        if path not in idle:
            yield plain(path, LABEL_LENGTH), plain(reason)


def command_notes(records: Sequence[Record], labels: Labels) -> tuple[tuple[str, str], ...]:
    """Commands after what they make; one command may have made several records."""
    made: dict[str, list[str]] = {}
    for record in records:
        label = labels[id(record)]
        backend = f", {record.backend}" if record.kind == "measurement" and record.backend not in label else ""
        made.setdefault(command_text(record), []).append(label + backend)
    return tuple((_named(names), command) for command, names in made.items())


def _named(labels: Sequence[str]) -> str:
    names = list(dict.fromkeys(labels))
    rest = len(names) - _MOST_NAMED
    return "; ".join(names) if rest < 2 else f"{'; '.join(names[:_MOST_NAMED])}; and {rest} more"
