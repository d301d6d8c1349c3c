"""A progress bar that leaves alone what is being timed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Show = Callable[[str, int, int | None], None]


@contextmanager
def step_progress(title: str) -> Iterator[Show | None]:
    """A bar on stderr if that is a terminal, else None.

    It redraws only when told of a step: a thread that redraws would take the processor from the step that is timed.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task(title, total=None)
        bar.refresh()

        def show(phase: str, done: int, total: int | None) -> None:
            bar.update(task, description=f"{title}, {phase}", completed=done, total=total, refresh=True)

        yield show
