"""What `sslbench verify` found out about a report or a file of records. Plain data, no torch."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from sslbench.bench.quantities import Part

SCHEMA: Literal["sslbench.verification/1"] = "sslbench.verification/1"
Subject = Literal["page", "prediction", "measurement", "comparison"]
Outcome = Literal["holds", "moved", "not checked", "differs"]
"""`moved`: other software gives other figures, within the stated interval. `differs`: a figure does not hold."""

EXIT_HOLDS, EXIT_DIFFERS, EXIT_COULD_NOT_RUN, EXIT_AS_FAR_AS_CHECKED = 0, 1, 2, 3
_SAME = 1e-9
"""Relative difference that two machines' floating-point arithmetic may make of one formula."""
_LARGE = 1e6
"""From here on a fraction says nothing."""


class Difference(Part):
    """One place where something else stands than what follows."""

    place: str
    """Dotted path in the record, or the headings and the row of the page."""
    says: str
    """What stands there; empty: nothing."""
    expected: str
    """What follows from the records, the recipe or the samples; empty: nothing."""
    change: float | None = None
    """Of numbers: the expected one over the stated, less 1."""


class Check(Part):
    """What was found out about one part of the file."""

    subject: Subject
    name: str
    """Which one: `record 2: bert-base-mlm on NVIDIA H200`."""
    outcome: Outcome
    summary: str
    """In one line."""
    reasons: tuple[str, ...] = ()
    """Why it may differ: versions of software."""
    differences: tuple[Difference, ...] = ()


class Verification(Part):
    """Everything that was found out about one file."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    schema_: Literal["sslbench.verification/1"] = Field(default=SCHEMA, alias="schema")
    file: str
    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """0 all holds, 1 something does not, 3 what could be checked holds."""
        outcomes = {check.outcome for check in self.checks}
        if "differs" in outcomes:
            return EXIT_DIFFERS
        return EXIT_HOLDS if outcomes <= {"holds"} else EXIT_AS_FAR_AS_CHECKED


def same(stated: Any, expected: Any) -> bool:
    """Whether two values are equal; numbers with a fraction up to the arithmetic of another machine."""
    if isinstance(stated, float) or isinstance(expected, float):
        numbers = isinstance(stated, int | float) and isinstance(expected, int | float)
        return numbers and math.isclose(stated, expected, rel_tol=_SAME)
    return bool(stated == expected)


def difference(place: str, stated: Any, expected: Any) -> Difference:
    """A difference in words; None stands for nothing."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (stated, expected))
    change = expected / stated - 1 if numbers and stated else None
    return Difference(place=place, says=_words(stated), expected=_words(expected), change=change)


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.9g}"


def leaves(table: Any, path: str = "") -> dict[str, Any]:
    """What a table states, by dotted path: every value that is neither null nor empty."""
    if isinstance(table, Mapping):
        pairs = [(f"{path}.{key}" if path else str(key), value) for key, value in table.items()]
    elif isinstance(table, list | tuple):
        pairs = [(f"{path}[{number}]", value) for number, value in enumerate(table)]
    else:
        return {} if table is None or table == "" else {path: table}
    return {place: leaf for inner, value in pairs for place, leaf in leaves(value, inner).items()}
