"""A sweep as a live table on a terminal, which leaves alone what is being timed."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sslbench.bench.commands.sweep_words import counts
from sslbench.bench.measure.plan import Configuration, facets, varied
from sslbench.bench.measure.sweep import Result
from sslbench.reports.measurement import measurement_view
from sslbench.reports.words import NOT_KNOWN, plain

_REDRAW_SECONDS = 1.0  # a redraw takes 7 ms of a core that the step may want
_AROUND = 7  # lines of the screen that are not rows
_SYMBOLS: dict[str | int, tuple[str, str]] = {
    "waits": ("·", "dim"),
    "runs": ("▸", "cyan"),
    0: ("✓", "green"),
    1: ("✕", "yellow"),
    2: ("✕", "red"),
}
_NUMBERS = frozenset({"batch", "tokens", "pixels", "devices"})
_Cells = tuple[str, ...]
"""Step time, throughput, memory and a note; the note alone where there are no numbers."""


class SweepTable:
    """One row a configuration. It is drawn anew when something happens, and never by a thread of its own."""

    def __init__(self, plan: Sequence[Configuration], console: Console, results: dict[int, Result]) -> None:
        self._plan = plan
        self._columns = varied(plan)
        self._console = console
        self._results = results
        self._cells = {number: _cells(result) for number, result in results.items()}
        self._current: int | None = None
        self._row_began = self._drawn = time.monotonic()
        self._phase = ("", 0, 0)
        self._draw: Callable[[], None] = lambda: None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the table, and takes it away at the end."""
        with Live(self.render(), console=self._console, auto_refresh=False, transient=True) as live:

            def draw() -> None:
                live.update(self.render(), refresh=True)
                self._drawn = time.monotonic()

            self._draw = draw
            draw()
            yield

    def started(self, number: int) -> None:
        """Its row runs."""
        self._current, self._phase, self._row_began = number, ("starts", 0, 0), time.monotonic()
        self._draw()

    def progress(self, phase: str, done: int, total: int | None) -> None:
        """Shown at once for a new phase, else once a second."""
        changed = phase != self._phase[0]
        self._phase = (phase, done, total or 0)
        if changed or time.monotonic() - self._drawn >= _REDRAW_SECONDS:
            self._draw()

    def remark(self, text: str) -> None:
        """A line above the table, which stays."""
        self._console.print(Text(plain(text)))

    def finished(self, number: int, result: Result) -> None:
        """Its row has its result."""
        self._cells[number] = _cells(result)
        self._current = None
        self._draw()

    def render(self) -> RenderableType:
        """The table, and below it how far all of it is."""
        first, last = self._window()
        headings, widths = self._numbers()
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("", no_wrap=True)
        for name in self._columns:
            table.add_column(name, no_wrap=True, justify="right" if name in _NUMBERS else "left")
        # One column for numbers and words, so that words have room where there are no numbers.
        table.add_column(_joined(headings, widths), no_wrap=True)
        rows = [(self._names(number), self._told(number, headings[1], widths)) for number in range(first, last)]
        columns = zip(("", *self._columns), *(map(str, names) for names, _ in rows), strict=True)
        taken = sum(2 + max(map(cell_len, texts)) for texts in columns)
        for names, told in rows:
            told.truncate(max(self._console.width - taken, 12), overflow="ellipsis")
            table.add_row(*names, told)
        hidden = [(first, "above"), (len(self._plan) - last, "below")]
        rest = ", ".join(f"{count} more {where}" for count, where in hidden if count)
        more = [Text(f"   {rest}", "dim")] if rest else []
        return Group(self._heading(), Text(), table, *more, Text(), self._foot())

    def _numbers(self) -> tuple[_Cells, list[int]]:
        """Headings of the numbers, and how wide each is; the unit of all throughputs stands in the heading."""
        rows = [cells for cells in self._cells.values() if len(cells) > 1]
        headings = ("step", _unit(rows) or "throughput", "memory")
        numbers = [(step, _bare(rate, headings[1]), memory) for step, rate, memory, _ in rows]
        columns = zip(headings, *numbers, strict=True)
        return headings, [max(map(len, column)) for column in columns]

    def _names(self, number: int) -> list[Text]:
        """Its symbol, and what distinguishes it."""
        key = self._key(number)
        style = {"runs": "bold", "waits": "dim"}.get(str(key), "")
        found = {name: texts[number] for name, texts in self._columns.items()}
        result = self._results.get(number)
        if self._plan[number].auto_batch and result and result.record and result.record.failure is None:
            found["batch"] = f"auto {result.record.recipe.batch_size}"
        return [Text(*_SYMBOLS[key]), *(Text(plain(found[name]), style) for name in self._columns)]

    def _told(self, number: int, unit: str, widths: Sequence[int]) -> Text:
        """Its numbers, or how far it is, or why it has none."""
        key = self._key(number)
        cells = self._cells.get(number, (self._now() if key == "runs" else "",))
        note = Text(cells[-1], "dim" if key == 0 else _SYMBOLS[key][1])
        if len(cells) == 1:
            return note
        step, rate, memory, _ = cells
        return Text.assemble(_joined((step, _bare(rate, unit), memory), widths), "  ", note)

    def _key(self, number: int) -> str | int:
        result = self._results.get(number)
        if result is not None:
            return result.exit_code
        return "runs" if number == self._current else "waits"

    def _now(self) -> str:
        phase, done, total = self._phase
        steps = f" {done}/{total}" if total else f" {done}" if done else ""
        return f"{phase}{steps}"

    def _heading(self) -> Text:
        """What all configurations share."""
        shared = [facets(one) for one in self._plan][:1]
        words = [shared[0][name] for name in ("recipe", "stage", "precision", "backend") if name not in self._columns]
        return Text(plain(", ".join(words)), "bold")

    def _window(self) -> tuple[int, int]:
        """The rows that the screen has room for, around the one that runs."""
        room = max(3, self._console.size.height - _AROUND)
        middle = self._current if self._current is not None else len(self._results)
        first = max(0, min(middle - room // 2, len(self._plan) - room))
        return first, min(first + room, len(self._plan))

    def _foot(self) -> RenderableType:
        done, left = len(self._results), self._seconds_left()
        words = [counts(self._plan, self._results), f"about {_roughly(left)} left" if left else ""]
        line = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(len(self._plan), done, width=16, complete_style="cyan", finished_style="green")
        line.add_row(bar, Text(", ".join(filter(None, words))))
        return line

    def _seconds_left(self) -> float:
        """From the mean of those that this run has finished; 0: not known, or done."""
        took = [result.seconds for result in self._results.values() if result.seconds]
        waiting = len(self._plan) - len(self._results)
        if not took or not waiting:
            return 0.0
        running = time.monotonic() - self._row_began if self._current is not None else 0.0
        mean = sum(took) / len(took)
        return max(mean * waiting - running, mean * (waiting - 1), 1.0)


def _cells(result: Result) -> _Cells:
    if result.record is None:
        return (plain(" ".join(str(result.error).split())),)
    view = measurement_view(result.record)
    if view.failure:
        return (view.failure,)
    doubts = len(view.warnings)
    note = _roughly(result.seconds) if result.seconds else "from the file"
    note += f", {doubts} warning{'s' if doubts > 1 else ''}" if doubts else ""
    return f"{view.step_time} {view.margin}".strip(), view.throughput, view.memory, note


def _unit(rows: Sequence[_Cells]) -> str:
    """What all throughputs are counted in, as `images/s`; empty where they differ."""
    units = {rate.rpartition(" ")[2] for _, rate, _, _ in rows if rate != NOT_KNOWN}
    return units.pop() if len(units) == 1 else ""


def _bare(rate: str, unit: str) -> str:
    return "?" if rate == NOT_KNOWN else rate.removesuffix(f" {unit}")


def _joined(cells: _Cells, widths: Sequence[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _roughly(seconds: float) -> str:
    """`45 s`, `6 min` or `2.5 h`."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
