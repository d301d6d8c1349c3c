"""Predictions of one recipe on several machines, or of several recipes on one, as the rows of a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sslbench.bench.record import Record
from sslbench.reports.first_screen import highlights
from sslbench.reports.ranking import best_marks
from sslbench.reports.view import PredictionView, prediction_view
from sslbench.reports.words import NOT_KNOWN, RecipeLabel, names_apart

_VERBS = {
    "fits": ("fits", "fit"),
    "tight": ("is tight", "are tight"),
    "spills": ("spills", "spill"),
    "does-not-fit": ("does not fit", "do not fit"),
    "none": ("has no verdict", "have no verdict"),
}
"""What one and what several predictions of a verdict do."""


@dataclass(frozen=True, slots=True)
class PredictionGroup:
    """All predictions of one recipe, best machine first; or those of several recipes on one machine."""

    recipe: RecipeLabel
    """Of several recipes the machine's title instead."""
    corner: str
    """What the rows are: `Machine` or `Recipe`."""
    names: tuple[tuple[str, str], ...]
    """Of each row, and what tells it from others of that name."""
    predictions: tuple[PredictionView, ...]
    marks: tuple[tuple[str, ...], ...]
    """What each is best at."""
    highlights: tuple[tuple[str, str, str], ...]
    """What a machine is best at, the machine, and the figures."""
    verdicts: str
    """How many fit."""
    rate_unit: str
    """Of all throughputs, where they have one."""


def prediction_group(records: Sequence[Record]) -> PredictionGroup:
    """The table of some predictions of one recipe, in their order."""
    views = tuple(map(prediction_view, records))
    machines = Counter(view.machine for view in views)
    names = [(view.machine, view.backend if machines[view.machine] > 1 else "") for view in views]
    return _grouped(views[0].recipe, "Machine", names, views, best_marks(records))


def flat_group(groups: Sequence[PredictionGroup]) -> PredictionGroup | None:
    """The table of several recipes on one machine; None where there are several machines, or one recipe."""
    views = tuple(view for group in groups for view in group.predictions)
    if len(groups) < 2 or len({(view.machine, view.backend) for view in views}) > 1:
        return None
    label = RecipeLabel(title=views[0].machine, name="", settings="", paper="")
    return _grouped(label, "Recipe", names_apart([view.recipe for view in views]), views, [()] * len(views))


def _grouped(
    label: RecipeLabel,
    corner: str,
    names: Sequence[tuple[str, str]],
    views: tuple[PredictionView, ...],
    marks: Sequence[tuple[str, ...]],
) -> PredictionGroup:
    rates = {view.throughput.rpartition(" ")[2] for view in views if view.throughput != NOT_KNOWN}
    return PredictionGroup(
        recipe=label,
        corner=corner,
        names=tuple(names),
        predictions=views,
        marks=tuple(marks),
        highlights=tuple(highlights(views, marks)),
        verdicts=count_verdicts(views),
        rate_unit=rates.pop() if len(rates) == 1 else "",
    )


def count_verdicts(views: Sequence[PredictionView]) -> str:
    """How many fit and how many do not, as in `2 fit, 1 is tight`."""
    counts = Counter(words.key for words in sorted((view.verdict for view in views), key=lambda words: words.rank))
    return ", ".join(f"{count} {_VERBS[key][count > 1]}" for key, count in counts.items())
