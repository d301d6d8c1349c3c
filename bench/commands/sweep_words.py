"""What a sweep came to, in words."""

from collections.abc import Mapping, Sequence

from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.sweep import Result
from sslbench.reports.measurement import measurement_view
from sslbench.reports.words import NOT_KNOWN, plain


def why(result: Result) -> str:
    """Why a configuration has no numbers, in one line."""
    if result.record is not None and result.record.failure is not None:
        return plain(" ".join(result.record.failure.message.split()))
    return plain(" ".join(str(result.error).split()))


def outcome(result: Result) -> str:
    """A result in words: `76.2 ms ± 0.4 %, 105 images/s, 1.15 GiB`, or why there is none."""
    if result.record is None:
        return "could not run"
    view = measurement_view(result.record)
    if view.failure:
        return view.failure
    step = " ".join(filter(None, (view.step_time, view.margin)))
    return ", ".join(part for part in (step, view.throughput, view.memory) if part != NOT_KNOWN)


def counts(plan: Sequence[Configuration], results: Mapping[int, Result]) -> str:
    """`5 of 12, 1 out of memory, 2 could not run`."""
    codes = [result.exit_code for result in results.values()]
    told = [f"{len(results)} of {len(plan)}"]
    for code, words in ((1, "out of memory"), (2, "could not run")):
        if codes.count(code):
            told.append(f"{codes.count(code)} {words}")
    return ", ".join(told)
