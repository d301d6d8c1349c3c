"""A sweep as a live table on a terminal, which leaves alone what is being timed."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sslbench.bench.commands.sweep_words import counts
from sslbench.bench.measure.plan import Configuration, facets, varied
from sslbench.bench.measure.sweep import Result
from sslbench.reports.measurement import measurement_view
from sslbench.reports.units import format_seconds
from sslbench.reports.words import plain

_REDRAW_SECONDS = 0.5  # a redraw takes some milliseconds of a core that the step may want
_AROUND = 7  # lines of the screen that are not rows
_SYMBOLS = {"waits": ("·", "dim"), "runs": ("▸", "cyan"), 0: ("✓", "green"), 1: ("✕", "yellow"), 2: ("✕", "red")}
_NUMBERS = frozenset({"batch", "tokens", "pixels", "devices"})
_Cells = tuple[str, str, str, str]
"""Step time, throughput, memory and a note."""


class SweepTable:
    """One row a configuration. It is drawn anew when something happens, and never by a thread of its own."""

    def __init__(self, plan: Sequence[Configuration], console: Console, results: dict[int, Result]) -> None:
        self._plan = plan
        self._columns = varied(plan)
        self._console = console
        self._results = results
        self._cells = {number: _cells(result) for number, result in results.items()}
        self._before = len(results)
        self._current: int | None = None
        self._began = self._row_began = self._drawn = time.monotonic()
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
        """Shown at once for a new phase, else twice a second."""
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
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("", width=1)
        for name in self._columns:
            table.add_column(name, no_wrap=True, justify="right" if name in _NUMBERS else "left")
        for name in ("step", "throughput", "memory"):
            table.add_column(name, no_wrap=True, justify="right")
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for number in range(first, last):
            self._add_row(table, number)
        hidden = [(first, "above"), (len(self._plan) - last, "below")]
        rest = ", ".join(f"{count} more {where}" for count, where in hidden if count)
        return Group(
            self._heading(), Text(), table, *([Text(f"  {rest}", "dim")] if rest else []), Text(), self._foot()
        )

    def _add_row(self, table: Table, number: int) -> None:
        result = self._results.get(number)
        key = result.exit_code if result else "runs" if number == self._current else "waits"
        symbol, style = _SYMBOLS[key]
        name_style = {"runs": "bold", "waits": "dim"}.get(str(key), "")
        what = [Text(plain(texts[number]), name_style) for texts in self._columns.values()]
        *numbers, note = self._cells.get(number, ("", "", "", self._now() if key == "runs" else ""))
        table.add_row(Text(symbol, style), *what, *numbers, Text(note, "dim" if key in ("waits", 0) else style))

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
        done = len(self._results)
        line = Table.grid(padding=(0, 2, 0, 0))
        left = self._seconds_left()
        words = [counts(self._plan, self._results), f"about {format_seconds(left)} left" if left else ""]
        line.add_row(ProgressBar(total=len(self._plan), completed=done, width=30), Text(", ".join(filter(None, words))))
        return line

    def _seconds_left(self) -> float:
        """From the mean of those that this run has finished; 0: not known, or done."""
        took = [result.seconds for result in self._results.values() if result.seconds]
        waiting = len(self._plan) - len(self._results)
        if not took or not waiting:
            return 0.0
        running = time.monotonic() - self._row_began if self._current is not None else 0.0
        mean = sum(took) / len(took)
        return float(round(max(mean * waiting - running, mean * (waiting - 1), 1.0)))


def _cells(result: Result) -> _Cells:
    took = format_seconds(round(result.seconds)) if result.seconds else "from the file"
    if result.record is None:
        return "", "", "", " ".join(str(result.error).split())
    view = measurement_view(result.record)
    if view.failure:
        return "", "", "", view.failure
    doubts = len(view.warnings)
    note = f"{took}, {doubts} warning{'s' if doubts > 1 else ''}" if doubts else took
    return f"{view.step_time} {view.margin}".strip(), view.throughput, view.memory, note
