"""Measured elsewhere: what sharpened a predicted time, in words."""

from collections.abc import Iterable

from sslbench.bench.explanation import MeasuredElsewhere
from sslbench.bench.record import Record
from sslbench.reports.units import format_seconds, format_seconds_interval, format_share, significant
from sslbench.reports.words import LABEL_LENGTH, plain

_MOST_NAMED = 4
_TIMES, _EQUAL = 1.95, 0.005
"""Ratios from which on a time is so many times another, and differences below which it is equal."""


def sharpened_by(record: Record) -> str:
    """`bert-base-mlm, batch 32, on NVIDIA A100: 193 ms, 12 % longer than predicted`; empty where nothing did."""
    if record.sharpening is None:
        return ""
    named = [_measured(each) for each in record.sharpening.measured[:_MOST_NAMED]]
    rest = len(record.sharpening.measured) - len(named)
    return "; ".join([*named, f"and {rest} more"] if rest else named)


def unsharpened(record: Record) -> str:
    """The time without the measurements: `231 ms, 90 % interval 195 to 274 ms`."""
    if record.sharpening is None or record.sharpening.unsharpened.step_seconds is None:
        return ""
    time = record.sharpening.unsharpened
    interval = f", 90 % interval {format_seconds_interval(time.interval_seconds)}" if time.interval_seconds else ""
    return f"{format_seconds(time.step_seconds or 0.0)}{interval}"


def once(texts: Iterable[str]) -> list[str]:
    """Texts that say something, each once."""
    return list(dict.fromkeys(filter(None, texts)))


def _measured(each: MeasuredElsewhere) -> str:
    ratio = each.step_seconds / each.predicted_seconds
    if ratio >= _TIMES:
        off = f"{significant(ratio)} times what is"
    elif abs(ratio - 1) < _EQUAL:
        off = "as"
    else:
        off = f"{format_share(abs(ratio - 1))} {'longer' if ratio > 1 else 'shorter'} than"
    batch = f", batch {each.batch_size:,}" if each.batch_size else ""
    recipe, machine = plain(each.recipe, LABEL_LENGTH), plain(each.machine, LABEL_LENGTH)
    return f"{recipe}{batch}, on {machine}: {format_seconds(each.step_seconds)}, {off} predicted"
