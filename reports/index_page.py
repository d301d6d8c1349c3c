"""A static page that lists the reports of a folder: one row each, relative links, no script but the report's own."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sslbench.bench.errors import RecordError
from sslbench.reports.contents import Contents, read_page, read_text
from sslbench.reports.html import render_template
from sslbench.reports.report_view import Report, build_report
from sslbench.reports.units import format_bytes
from sslbench.reports.words import LABEL_LENGTH, VERDICTS, VerdictWords, machine_title, plain

_SUFFIXES = (".html", ".htm")
_MOST_BYTES = 64 * 2**20
"""Of a file that is read: no report is a tenth as large."""
_MOST_MACHINES = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One report."""

    link: str
    """Relative to the index, percent-encoded."""
    name: str
    title: str
    contents: str
    verdicts: tuple[tuple[VerdictWords, str], ...]
    """Verdicts of its predictions with how many have it, the best first."""
    outcomes: tuple[str, ...]
    """Of its comparisons."""
    rank: int | None
    """Of the worst verdict, to sort by; None: there is no prediction."""
    machines: tuple[str, ...]
    day: str
    """Of its newest record, as `2026-03-01`; empty: it has none."""
    size: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Index:
    """The page."""

    title: str
    summary: str
    rows: tuple[Row, ...]
    """The newest first."""


def index_page(folder: Path, output: Path, *, title: str | None = None) -> tuple[str, list[str]]:
    """The index of a folder and those below it as HTML5, and why some files are not in it.

    Args:
        folder: of the reports.
        output: where the page will lie, which links are relative to.
        title: its heading; by default the folder's name.

    Raises:
        RecordError: there is no report.
    """
    rows, left = [], []
    for path in _pages(folder, output):
        try:
            rows.append(_row(path, output))
        except RecordError as error:
            left.append(plain(str(error)))
    if not rows:
        reason = f": {left[0]}" if left else ": it has no .html file"
        raise RecordError(f"{folder}: holds no report of sslbench{reason}")
    rows.sort(key=lambda row: row.name)
    rows.sort(key=lambda row: row.day, reverse=True)
    name = title or folder.resolve().name or "all folders"
    index = Index(plain(name, LABEL_LENGTH), _summary(len(rows)), tuple(rows))
    return render_template("index.html.j2", index=index), left


def is_report(path: Path) -> bool:
    """Whether a file is there, and holds a report."""
    try:
        return path.is_file() and bool(read_page(read_text(path), where=str(path)))
    except RecordError:
        return False


def _summary(count: int) -> str:
    return f"{count:,} report{'s' if count > 1 else ''}"


def _pages(folder: Path, output: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and path.is_file() and path.resolve() != output.resolve():
            yield path


def _row(path: Path, output: Path) -> Row:
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise RecordError(f"{path}: is too large for a report: {format_bytes(size)}")
    found = read_page(read_text(path), where=str(path))
    relative = Path(os.path.relpath(path, output.parent)).as_posix()
    report = build_report(found.records, comparisons=found.comparisons, histories=found.histories, title=found.title)
    newest = max((record.created for record in found.records), default=None)
    return Row(
        link=quote(os.fsencode(relative)),
        name=plain(relative),
        title=report.title,
        contents=report.contents.partition("; ")[0],
        verdicts=_verdicts(report),
        outcomes=tuple(gate.title for gate in report.gates),
        rank=max((view.verdict.rank for view in report.predictions), default=None),
        machines=_machines(found),
        day="" if newest is None else newest.date().isoformat(),
        size=format_bytes(size),
        size_bytes=size,
    )


def _verdicts(report: Report) -> tuple[tuple[VerdictWords, str], ...]:
    counts = Counter(view.verdict.key for view in report.predictions)
    return tuple((words, f"{counts[key]:,}") for key, words in VERDICTS.items() if counts[key])


def _machines(found: Contents) -> tuple[str, ...]:
    titles = list(dict.fromkeys(machine_title(record.machine) for record in found.records))
    rest = len(titles) - _MOST_MACHINES
    return (*titles[:_MOST_MACHINES], f"and {rest:,} more") if rest > 1 else tuple(titles)
