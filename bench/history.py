"""Measured records of steps over time, and where their level changed: plain data, as the other outputs of the gate.

`sslbench history --format json` writes it, and a report draws it. Imports neither torch nor numpy.
"""

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from sslbench.bench.comparison import Unit
from sslbench.bench.quantities import Part

SCHEMA: Literal["sslbench.history/1"] = "sslbench.history/1"
MOST_KEPT = 800
"""Records that a page keeps of a whole history, about."""
_LEAST_KEPT = 60  # of a step


class Change(Part):
    """A step of the level of a trend."""

    at: int
    """Number of the first record of the new level, from 0."""
    share: float
    """New level over the old one, less 1."""
    before: float
    after: float


class Trend(Part):
    """One metric of a step."""

    metric: str
    """Dotted path as in a record: `time.step_seconds`."""
    unit: Unit
    values: tuple[float | None, ...]
    """One for each record that the step keeps, in the metric's unit; None: not known there."""
    changes: tuple[Change, ...] = ()

    def known(self) -> list[tuple[int, float]]:
        """Place among the kept records, and value, where it is known."""
        return [(place, value) for place, value in enumerate(self.values) if value is not None]


class StepHistory(Part):
    """One step on one machine, oldest record first."""

    name: str
    """Recipe and settings."""
    where: str
    """Backend and machine."""
    records: int
    """How many there are."""
    numbers: tuple[int, ...]
    """Of the kept records, each record's number from 0, rising."""
    created: tuple[str, ...]
    """ISO 8601."""
    commits: tuple[str, ...]
    """Short, with a `+` where files differed from it; empty where it is not known."""
    trends: tuple[Trend, ...]

    @model_validator(mode="after")
    def _columns_are_equally_long(self) -> "StepHistory":
        columns = (self.created, self.commits, *(trend.values for trend in self.trends))
        if any(len(column) != len(self.numbers) for column in columns):
            raise ValueError("its columns are not equally long")
        if not all(trend.known() for trend in self.trends):
            raise ValueError("a trend has no value")
        if any(change.at not in self.numbers for trend in self.trends for change in trend.changes):
            raise ValueError("a change is at a record that it does not keep")
        if list(self.numbers) != sorted(set(self.numbers)) or not self.numbers or self.records <= self.numbers[-1]:
            raise ValueError("the numbers of its records do not rise to their count")
        return self

    def thinned(self, most: int) -> "StepHistory":
        """With about as many records as that, the same where it has no more or was thinned before.

        Of each stretch of records the least and the greatest value of every metric stay, and so do the first and last
        record and those on both sides of every change.
        """
        if self.records > len(self.numbers) or self.records <= most:
            return self
        kept = {0, self.records - 1}
        for trend in self.trends:
            known, size = trend.known(), -(-2 * len(self.trends) * self.records // most)
            for begin in range(0, len(known), size):
                stretch = sorted(known[begin : begin + size], key=lambda pair: pair[1])
                kept |= {stretch[0][0], stretch[-1][0]}
            for change in trend.changes:
                kept |= {change.at, max((place for place, _ in known if place < change.at), default=change.at)}
        return self._only(sorted(kept))

    def _only(self, places: list[int]) -> "StepHistory":
        trends = (
            trend.model_copy(update={"values": tuple(trend.values[place] for place in places)}) for trend in self.trends
        )
        columns = {
            name: tuple(getattr(self, name)[place] for place in places) for name in ("numbers", "created", "commits")
        }
        return self.model_copy(update={**columns, "trends": tuple(trends)})


class History(Part):
    """Steps in the order of their first record."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    schema_: Literal["sslbench.history/1"] = Field(default=SCHEMA, alias="schema")
    source: str
    """Folder or file that the records come from, with the branch if it is of git."""
    steps: tuple[StepHistory, ...]

    def thinned(self, most: int = MOST_KEPT) -> "History":
        """With about as many records as that in all, but some dozens of each step at least."""
        share = max(_LEAST_KEPT, most // max(len(self.steps), 1))
        return self.model_copy(update={"steps": tuple(step.thinned(share) for step in self.steps)})
