"""Time and cost of a whole run on several machines, and which of them no other beats in both (the Pareto front)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from sslbench.bench.record import Record
from sslbench.reports.axes import LogAxis, log_axis
from sslbench.reports.bill import RunView, run_view
from sslbench.reports.labels import Label, place_labels
from sslbench.reports.view import by_recipe
from sslbench.reports.words import RecipeLabel, VerdictWords, recipe_label, short_machine, verdict_words

_FAR = 4.0
"""Machines so many times slower or dearer than the slowest or dearest of the front would press it into a corner."""
_FEW = 8
"""Machines that are all named; of more, those of the front."""
_UNITS = ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))

_Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine: what its run takes, and where that stands in the drawing."""

    name: str
    label: str
    verdict: VerdictWords
    run: RunView
    at: tuple[float, float]
    span: tuple[float, float, float, float] | None
    """x1, y1, x2, y2: from the low to the high ends of both 90 % intervals, since rent goes with time."""


@dataclass(frozen=True, slots=True)
class Front:
    """The drawing, its table, and the ends of the front in words."""

    recipe: RecipeLabel
    budget: str
    summary: str
    x_name: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    stairs: str
    """Path below which nothing is on offer, in a square of 100 units that the page stretches."""
    best: tuple[Offer, ...]
    """From the fastest to the cheapest."""
    others: tuple[Offer, ...]
    """Those that are not far off."""
    labels: tuple[Label, ...]
    """Names, as many as find room."""
    left_out: str


def fronts(records: Sequence[Record]) -> list[Front]:
    """One for each recipe of some predictions of which two or more know what their whole run costs."""
    return [drawn for group in by_recipe(records) if (drawn := _front(group))]


def best(points: Sequence[tuple[float, float]]) -> set[int]:
    """Places of those points than which no other is less in one number and not more in the other."""
    found: set[int] = set()
    least = float("inf")
    order = sorted(range(len(points)), key=points.__getitem__)
    for (_, second), same in groupby(order, key=points.__getitem__):
        if second < least:
            found.update(same)
            least = second
    return found


def _front(records: Sequence[Record]) -> Front | None:
    once = {(short_machine(run.record), run.point): run for record in records if (run := _run(record))}
    runs = sorted(once.values(), key=lambda run: run.point)
    if len({run.point for run in runs}) < 2:
        return None
    front = [runs[place] for place in sorted(best([run.point for run in runs]))]
    (slowest, _), (_, dearest) = front[-1].point, front[0].point
    close = [run for run in runs if run.point[0] <= _FAR * slowest and run.point[1] <= _FAR * dearest]
    near = close if len(close) > 1 else runs
    axes = _axes([*(run.point for run in near), *(end for run in front for end in run.ends or ())])
    first = tuple(_offer(run, axes) for run in front)
    others = tuple(_offer(run, axes) for run in near if run not in front)
    return Front(
        recipe=recipe_label(records[0].recipe),
        budget=first[0].run.budget.partition(", here ")[0],
        summary=_summary(first, len(runs)),
        x_name=f"{axes.name} of the run",
        x_ticks=tuple((axes.x.place(tick), f"{tick:,g}") for tick in axes.x.few_ticks()),
        y_ticks=tuple((axes.y.place(tick), f"{tick:,g}") for tick in axes.y.few_ticks()),
        stairs=_stairs([offer.at for offer in first]),
        best=first,
        others=others,
        labels=tuple(_labels(first, others)),
        left_out=_left_out(records, near),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    record: Record
    point: _Point
    """Seconds and US dollars."""
    ends: tuple[_Point, _Point] | None
    """Of their 90 % intervals."""


@dataclass(frozen=True, slots=True)
class _Axes:
    x: LogAxis
    y: LogAxis
    unit: float
    """Seconds of the unit that `x` is in."""
    name: str

    def place(self, point: _Point) -> _Point:
        return self.x.place(point[0] / self.unit), self.y.place(point[1])


def _run(record: Record) -> _Run | None:
    """None where time or rent is not known, or the step does not fit."""
    bill = record.bill
    if bill is None or not bill.rent_usd or min(bill.seconds, bill.rent_usd) <= 0 or record.verdict == "does-not-fit":
        return None
    point = (bill.seconds, bill.rent_usd)
    low, high = zip(bill.seconds_interval or (0.0, 0.0), bill.rent_usd_interval or (0.0, 0.0), strict=True)
    return _Run(record, point, (low, high) if min(*low, *high) > 0 else None)


def _axes(points: Sequence[_Point]) -> _Axes:
    times, rents = zip(*points, strict=True)
    unit, name = next(each for each in _UNITS if max(times) >= 2 * each[0] or each[0] == 1)
    return _Axes(log_axis([each / unit for each in times], 0.0, 100.0), log_axis(rents, 100.0, 0.0), unit, name)


def _offer(run: _Run, axes: _Axes) -> Offer:
    name, words, verdict = short_machine(run.record), run_view(run.record), verdict_words(run.record)
    return Offer(
        name=name,
        label=f"{name}: {words.time}, {words.rent}; {verdict.word}",
        verdict=verdict,
        run=words,
        at=axes.place(run.point),
        span=(*axes.place(run.ends[0]), *axes.place(run.ends[1])) if run.ends else None,
    )


def _labels(front: Sequence[Offer], others: Sequence[Offer]) -> list[Label]:
    """Names of the front, and of the others if they are few."""
    named, rest = ([*front, *others], []) if len(front) + len(others) <= _FEW else (list(front), others)
    return place_labels([each.name for each in named], [each.at for each in named], [each.at for each in rest])


def _stairs(places: Sequence[tuple[float, float]]) -> str:
    """From the fastest to the cheapest; what is bought waits at the price of the one before until the next is done."""
    steps = "".join(f"H{x}V{y}" for _, (x, y) in pairwise(places))
    return f"M{places[0][0]} {places[0][1]}{steps}"


# ---------------------------------------------------------------------- words
def _summary(front: Sequence[Offer], count: int) -> str:
    fastest, cheapest = front[0], front[-1]
    if len(front) == 1:
        return f"{fastest.name} is the fastest and the cheapest: {fastest.run.time}, {fastest.run.rent}"
    return (
        f"Fastest: {fastest.name}, {fastest.run.time}, {fastest.run.rent}; "
        f"cheapest: {cheapest.name}, {cheapest.run.time}, {cheapest.run.rent}; "
        f"{len(front)} of {count} machines have no rival that is faster and no dearer"
    )


def _left_out(records: Sequence[Record], drawn: Sequence[_Run]) -> str:
    """What is not drawn, and why."""
    points = {run.point for run in drawn}
    names: dict[str, dict[str, None]] = {}
    for record in records:
        run = _run(record)
        if record.verdict == "does-not-fit":
            reason = "does not fit"
        elif run is None:
            reason = "rent not known" if record.bill else "no budget"
        else:
            reason = "" if run.point in points else f"more than {_FAR:g} times the slowest or dearest on the line"
        names.setdefault(reason, {})[short_machine(record)] = None
    return "; ".join(f"{', '.join(each)}: {reason}" for reason, each in names.items() if reason)
