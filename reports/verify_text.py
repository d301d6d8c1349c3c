"""What `sslbench verify` found out, for a terminal and as Markdown."""

from collections.abc import Iterator

from sslbench.bench.verification import EXIT_AS_FAR_AS_CHECKED, EXIT_HOLDS, Check, Difference, Verification
from sslbench.reports.gfm import escape, table
from sslbench.reports.words import plain

_SYMBOLS = {"holds": "✓", "moved": "≈", "not checked": "?", "differs": "✕"}
_MOST_LINES = 12
"""Differences of one check that are listed; of more it says how many."""


def verification_text(found: Verification) -> str:
    """One line for each check, and below it what differs."""
    lines = [plain(found.file), *(line for check in found.checks for line in _lines(check)), _conclusion(found)]
    return "\n".join(lines) + "\n"


def _lines(check: Check) -> Iterator[str]:
    yield f"  {_SYMBOLS[check.outcome]} {plain(check.name)}: {plain(check.summary)}"
    for difference in check.differences[:_MOST_LINES]:
        yield f"      {plain(difference.place)}: {_says(difference)}"
    if len(check.differences) > _MOST_LINES:
        yield f"      and {len(check.differences) - _MOST_LINES:,} more: --format json has all"
    if check.reasons:
        yield f"      why that may be: {plain('; '.join(check.reasons))}"


def _says(difference: Difference) -> str:
    says, expected = (plain(text) for text in (difference.says, difference.expected))
    change = "" if difference.change is None else f" ({difference.change:+.3%})".replace("%", " %")
    if not expected:
        return f"says {says}, which nothing gives"
    return f"says {says}, follows {expected}{change}" if says else f"says nothing, follows {expected}"


def _conclusion(found: Verification) -> str:
    if found.exit_code == EXIT_HOLDS:
        return "All of it holds."
    if found.exit_code == EXIT_AS_FAR_AS_CHECKED:
        left = sum(check.outcome != "holds" for check in found.checks)
        return f"What could be checked holds; {left} of {len(found.checks)} could not be checked in full."
    wrong = sum(check.outcome == "differs" for check in found.checks)
    return f"{wrong} of {len(found.checks)} do not hold." if wrong > 1 else f"1 of {len(found.checks)} does not hold."


def verification_markdown(found: Verification) -> str:
    """A table of the checks, and one of what differs."""
    parts = [f"## {escape(plain(found.file))}: {escape(_conclusion(found))}"]
    rows = [
        (
            f"{_SYMBOLS[check.outcome]} {check.outcome}",
            escape(plain(check.name)),
            escape(plain("; ".join([check.summary, *check.reasons]))),
        )
        for check in found.checks
    ]
    parts.append(table(("Outcome", "What", "Found"), rows))
    differing = [(check, difference) for check in found.checks for difference in check.differences[:_MOST_LINES]]
    if differing:
        cells = [
            (escape(plain(check.name)), escape(plain(difference.place)), escape(_says(difference)))
            for check, difference in differing
        ]
        parts.append(table(("What", "Place", "Difference"), cells))
    return "\n\n".join(parts) + "\n"
