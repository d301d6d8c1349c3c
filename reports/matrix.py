"""How several recipes stand on several machines: a matrix whose cells show one figure at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.reports.view import PredictionView
from sslbench.reports.words import NOT_KNOWN, VERDICTS, VerdictWords, names_apart

_LEAST = 2
"""Recipes and machines from which on they are a matrix."""
_LAST = 1e9
"""What does not fit sorts after all that does, by its time so many times over."""

MarkedView = tuple[PredictionView, Sequence[str]]
"""A prediction, and what it is best at among those of its recipe."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One recipe on one machine: each figure as a text and as what its column sorts by, None sorting last."""

    verdict: VerdictWords
    texts: tuple[str, ...]
    values: tuple[float | None, ...]
    best: tuple[bool, ...]
    """Whether this machine is the recipe's best by the figure."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the matrix; None where the recipe was not asked on the machine."""

    name: str
    below: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Recipes and machines; the longer list is down the side."""

    corner: str
    figures: tuple[str, ...]
    """What the cells hold, in their order; the first is what is shown without a choice."""
    columns: tuple[tuple[str, str], ...]
    """Name, and what tells it from others of that name."""
    lines: tuple[Line, ...]
    legend: tuple[VerdictWords, ...]


_Names = dict[tuple[str, str], None]


def matrix(groups: Sequence[Sequence[MarkedView]]) -> Matrix | None:
    """How each recipe stands on each machine; None where there is one of either, which is a table's business.

    Args:
        groups: the predictions of each recipe.
    """
    marked = [each for group in groups for each in group]
    names = names_apart([group[0][0].recipe for group in groups])
    recipes: _Names = dict.fromkeys(names)
    machines: _Names = dict.fromkeys(_machine(view) for view, _ in marked)
    views = {(name, _machine(each[0])): each for name, group in zip(names, groups, strict=True) for each in group}
    if min(len(recipes), len(machines)) < _LEAST or len(views) < len(marked):
        return None
    by_machine = len(machines) > len(recipes)
    sides = (machines, recipes) if by_machine else (recipes, machines)
    billed = any(view.run.time for view, _ in marked)
    lines = []
    for down in sides[0]:
        pairs = ((across, down) if by_machine else (down, across) for across in sides[1])
        lines.append(Line(*down, tuple(_cell(views[pair], billed) if pair in views else None for pair in pairs)))
    shown = {view.verdict.key for view, _ in marked}
    return Matrix(
        corner="Machine" if by_machine else "Recipe",
        figures=("step time", "memory needed", "largest batch", *(("whole run", "rent of the run") if billed else ())),
        columns=tuple(sides[1]),
        lines=tuple(lines),
        legend=tuple(words for words in VERDICTS.values() if words.key in shown),
    )


def _machine(view: PredictionView) -> tuple[str, str]:
    return view.machine, "" if view.backend.startswith("torch") else view.backend


def _cell(marked: MarkedView, billed: bool) -> Cell:
    view, marks = marked
    sort, run = view.sort, view.run
    last = _LAST if view.verdict.key == "does-not-fit" else 1.0
    figures = [
        (view.step_time, _times(sort.step, last), "fastest"),
        (view.required, sort.memory, "least memory"),
        (view.max_batch, sort.batch, ""),
    ]
    if billed:
        figures.append((run.time or NOT_KNOWN, _times(sort.run, last), "fastest"))
        figures.append((run.rent or NOT_KNOWN, _times(sort.rent, last), "cheapest run"))
    texts, values, best = zip(*figures, strict=True)
    return Cell(view.verdict, texts, values, tuple(mark in marks for mark in best))


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
