"""Numbers as people read them: three significant digits and a unit.

Memory is in binary units (1 GiB = 2**30 bytes, IEC 80000-13), everything else in SI units.
"""

import math
from collections.abc import Sequence

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SECONDS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"))
_SI = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL_PART = 0.1
"""A part below this, in the unit of the whole, would lose a digit: it is written in its own unit."""
_NAMED = ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"))


def significant(value: float) -> str:
    """A number with three significant digits and no exponent; from 1000 on, whole with thousands separators."""
    for decimals in (2, 1):
        if abs(round(value, decimals)) < 10 ** (3 - decimals):
            text = f"{value:.{decimals}f}"
            return "0" if float(text) == 0 and value == 0 else text
    return f"{value:,.0f}"


def format_bytes(value: float) -> str:
    """Bytes in the largest binary unit that keeps the number at or above 1, such as `14.2 GiB`."""
    return _join(*_scaled_bytes(value, like=value))


def byte_unit(value: float) -> float:
    """Bytes of the unit that `format_bytes` writes a number in: 2**30 for 14.2 GiB."""
    return 1024.0 ** _BINARY.index(_scaled_bytes(value, like=value)[1])


def format_bytes_of(value: float, whole: float) -> str:
    """A part of a whole in the whole's unit where that leaves two digits, such as `14.2 of 24.0 GiB`."""
    if _is_small(value, whole):
        return f"{format_bytes(value)} of {format_bytes(whole)}"
    number, _ = _scaled_bytes(value, like=whole)
    return f"{number} of {format_bytes(whole)}"


def format_bytes_interval(interval: Sequence[float], *, whole: float | None = None) -> str:
    """An interval of bytes in one unit, such as `13.6 to 14.9 GiB`; with a whole, in the unit of `format_bytes_of`."""
    low, high = interval
    like = high if whole is None or _is_small(high, whole) else whole
    (start, _), (end, unit) = _scaled_bytes(low, like=like), _scaled_bytes(high, like=like)
    return f"{start} to {end} {unit}"


def format_tick(text: str) -> str:
    """A round number of an axis without its zeros: `5 GiB` of `5.00 GiB`."""
    return text.replace(".00 ", " ").replace(".0 ", " ").strip()


def tick_labels(values: Sequence[float], unit: str) -> list[str]:
    """Round numbers of one axis in one unit, with as many decimals as tell neighbours apart: `30.0 ms`, `30.5 ms`.

    Args:
        values: evenly spaced, rising.
        unit: `seconds`, `bytes`, or what an SI prefix is put before, such as `J`.
    """
    most = max(map(abs, values), default=0.0)
    if unit == "bytes":
        scale, name = byte_unit(most), _scaled_bytes(most, like=most)[1]
    elif unit == "seconds":
        scale, name = next((pair for pair in reversed(_SECONDS) if most >= pair[0]), _SECONDS[0])
    else:
        scale, name = next((pair for pair in _SI if most >= pair[0]), _SI[-1])
        name += unit
    step = (values[1] - values[0]) / scale if len(values) > 1 else 1.0
    decimals = max(0, math.ceil(-math.log10(step) - 1e-6))
    return [f"{value / scale:,.{decimals}f} {name}".strip() for value in values]


def format_seconds(value: float) -> str:
    """A duration, such as `186 ms`, `1.24 s`, `2 min 05 s` or `3 h 20 min`."""
    return _long_duration(value) if abs(value) >= 120 else _join(*_scaled_seconds(value, like=value))


def format_seconds_interval(interval: Sequence[float]) -> str:
    """An interval of durations in one unit, such as `150 to 230 ms`."""
    low, high = interval
    if abs(high) >= 120:
        return f"{format_seconds(low)} to {format_seconds(high)}"
    number, _ = _scaled_seconds(low, like=high)
    return f"{number} to {format_seconds(high)}"


def format_rate(per_second: float, unit: str) -> str:
    """Units of work per second, such as `31.2 images/s`; per minute, hour or day where it is slow."""
    for factor, period in ((1, "s"), (60, "min"), (3600, "h")):
        if abs(per_second) * factor >= 0.1 or per_second == 0:
            return f"{significant(per_second * factor)} {unit}/{period}"
    return f"{significant(per_second * 86400)} {unit}/day"


def format_si(value: float, unit: str) -> str:
    """A number with an SI prefix, such as `165 TFLOP/s` or `450 W`."""
    for factor, prefix in _SI:
        if abs(value) >= factor * 0.9995:
            return f"{significant(value / factor)} {prefix}{unit}"
    return f"{significant(value * 1e3)} m{unit}" if value else f"0 {unit}"


def format_count(value: float) -> str:
    """A count of things: exact below a million, then in words, such as `110 million`."""
    for factor, word in _NAMED:
        if abs(value) >= factor * 0.9995:
            return significant(value / factor) + word
    return f"{value:,.0f}"


def format_probability(value: float) -> str:
    """A probability in percent that never claims certainty, such as `97 %` or `> 99 %`."""
    if value > 0.994:
        return "> 99 %"
    return "< 1 %" if value < 0.006 else f"{value * 100:.0f} %"


def format_share(value: float) -> str:
    """A share in percent with two or three digits, such as `41 %`, `3.2 %` or `122 %`."""
    percent = 100 * value
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.1f} %" if 0 < abs(percent) < 9.95 else f"{percent:.0f} %"


def format_margin(interval: Sequence[float], middle: float) -> str:
    """How far an interval reaches from its middle, as a share of it, such as `± 0.6 %`; empty around 0."""
    low, high = interval
    reach = max(high - middle, middle - low)
    return f"± {format_share(reach / middle)}" if middle > 0 and reach >= 0 else ""


def format_error(error: float) -> str:
    """A relative error of a prediction in words: `3 % low`, `equal`, `2.4 times too high`."""
    if error >= 1:
        return f"{significant(error + 1)} times too high"
    percent = round(100 * abs(error), 1 if abs(error) < 0.0095 else None)
    if not percent:
        return "equal"
    return f"{percent:g} % {'high' if error > 0 else 'low'}"


def format_signed(error: float) -> str:
    """A relative error as a signed number, such as `-3 %` or `+140 %`."""
    return f"{100 * error:+.0f} %".replace("-0 %", "0 %").replace("+0 %", "0 %")


def _join(number: str, unit: str) -> str:
    return f"{number} {unit}"


def _is_small(value: float, whole: float) -> bool:
    number, _ = _scaled_bytes(value, like=whole)
    return abs(float(number.replace(",", ""))) < _SMALL_PART


def _scaled_bytes(value: float, *, like: float) -> tuple[str, str]:
    power = 0
    # 1023.6 MiB would round to "1,024 MiB": it is 1.00 GiB.
    while power + 1 < len(_BINARY) and abs(like) / 1024**power >= 1023.5:
        power += 1
    number = value / 1024**power
    return (f"{number:.0f}" if power == 0 else significant(number)), _BINARY[power]


def _scaled_seconds(value: float, *, like: float) -> tuple[str, str]:
    for factor, unit in _SECONDS:
        if abs(like) < factor * 999.5:
            return significant(value / factor), unit
    return significant(value), "s"


def _long_duration(value: float) -> str:
    sign = "-" if value < 0 else ""
    minutes, seconds = divmod(round(abs(value)), 60)
    if minutes < 60:
        return f"{sign}{minutes} min {seconds:02d} s"
    hours, minutes = divmod(round(abs(value) / 60), 60)
    return f"{sign}{hours:,} h {minutes:02d} min"
