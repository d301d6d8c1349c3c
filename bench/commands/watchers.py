"""Who tells of measurements while they run: a bar for one, lines for several where there is no terminal."""

from collections.abc import Sequence

import click

from sslbench.bench.commands.progress import Show
from sslbench.bench.commands.sweep_words import outcome
from sslbench.bench.measure.plan import Configuration, labels
from sslbench.bench.measure.sweep import Result
from sslbench.reports.units import format_seconds
from sslbench.reports.words import plain


class BarWatcher:
    """Tells of a single configuration in a bar."""

    def __init__(self, show: Show | None) -> None:
        self._show = show

    def started(self, number: int) -> None:
        """The bar says so itself."""

    def progress(self, phase: str, done: int, total: int | None) -> None:
        """Moves the bar, where there is one."""
        if self._show is not None:
            self._show(phase, done, total)

    def remark(self, text: str) -> None:
        """A line of its own."""
        click.echo(text, err=True)

    def finished(self, number: int, result: Result) -> None:
        """The bar goes away by itself."""


class LineWatcher:
    """Tells of a sweep in a line for each finished configuration, on stderr."""

    def __init__(self, plan: Sequence[Configuration]) -> None:
        self._labels = labels(plan)

    def started(self, number: int) -> None:
        """Says nothing."""

    def progress(self, phase: str, done: int, total: int | None) -> None:
        """Says nothing."""

    def remark(self, text: str) -> None:
        """A line of its own."""
        click.echo(plain(text), err=True)

    def finished(self, number: int, result: Result) -> None:
        """What it came to, and how long it took."""
        place = f"[{number + 1:{len(str(len(self._labels)))}}/{len(self._labels)}]"
        took = f" ({format_seconds(result.seconds)})" if result.seconds else ""
        click.echo(f"{place} {plain(self._labels[number])}: {outcome(result)}{took}", err=True)
