"""Several devices, a step's energy and a whole run in words."""

from collections.abc import Callable, Iterator, Sequence

from sslbench.bench.billing import Bill, Plan
from sslbench.bench.record import Record
from sslbench.reports.units import (
    format_bytes,
    format_seconds,
    format_share,
    format_si,
    significant,
)
from sslbench.reports.words import plain

_DAY_S = 86_400.0
_YEAR_S = 365.25 * _DAY_S
_JOULES_PER_KWH = 3.6e6


def format_run(seconds: float) -> str:
    """A long duration, such as `7.74 days`; below two days as `format_seconds` has it."""
    if seconds < 2 * _DAY_S:
        return format_seconds(seconds)
    value, unit = (seconds / _DAY_S, "days") if seconds < 2 * _YEAR_S else (seconds / _YEAR_S, "years")
    return f"{significant(value)} {unit}"


def format_usd(value: float) -> str:
    """An amount of money: `0.36 USD`, `1,520 USD`."""
    return f"{value:,.2f} USD" if abs(value) < 99.995 else f"{value:,.0f} USD"


def format_kwh(joules: float) -> str:
    """An energy as people pay for it, such as `514 kWh` or `12.3 MWh`."""
    return format_si(joules / _JOULES_PER_KWH * 1e3, "Wh")


def format_between(interval: Sequence[float] | None, how: Callable[[float], str]) -> str:
    """`, 90 % interval 6.50 to 9.26 days`; empty where there is none."""
    if interval is None:
        return ""
    low, high = (how(edge) for edge in interval)
    number, _, unit = high.partition(" ")
    alike = number.replace(",", "").replace(".", "").isdigit() and " " not in unit  # not as in 3 h 20 min
    return f", 90 % interval {low.removesuffix(f' {unit}') if alike else low} to {high}"


def run_rows(record: Record) -> tuple[tuple[str, str], ...]:
    """Names and values: devices, energy of a step, and time, energy and money of the whole run."""
    return tuple(_rows(record))


def _rows(record: Record) -> Iterator[tuple[str, str]]:
    if record.plan is not None:
        yield "devices", _plan(record.plan)
    joules = record.energy.joules_per_step
    if record.kind == "prediction" and joules is not None:
        yield "energy", f"{format_si(joules, 'J')} a step{format_between(record.energy.interval_joules, _joules)}"
    bill = record.bill
    if bill is None:
        return
    yield "whole run", f"{plain(bill.budget)}, here {bill.steps:,} steps of {round(bill.samples / bill.steps):,}"
    yield "  time", format_run(bill.seconds) + format_between(bill.seconds_interval, format_run)
    if bill.joules is not None and bill.watts is not None:
        interval = format_between(bill.joules_interval, format_kwh)
        yield "  energy", f"{format_kwh(bill.joules)} at {format_si(bill.watts, 'W')}, boards only{interval}"
    if cost := _cost(bill):
        yield "  cost", cost


def _joules(value: float) -> str:
    return format_si(value, "J")


def _plan(plan: Plan) -> str:
    machines = f" in {plan.machines:,} machines" if plan.machines > 1 else ""
    return (
        f"{plan.devices:,}{machines}, {plan.strategy}: {format_share(plan.efficiency)} of as many single ones; "
        f"{format_bytes(plan.communication_bytes)} and {format_seconds(plan.communication_seconds)} of communication "
        f"a step, of which {format_seconds(plan.exposed_seconds)} not hidden"
    )


def _cost(bill: Bill) -> str:
    parts = []
    if bill.rent_usd is not None:
        parts.append(f"rented {format_usd(bill.rent_usd)}{format_between(bill.rent_usd_interval, format_usd)}")
    if bill.electricity_usd is not None:
        parts.append(f"electricity {format_usd(bill.electricity_usd)}")
    if bill.buy_usd is not None:
        parts.append(f"bought {format_usd(bill.buy_usd)}")
    if bill.break_even_seconds is not None:
        parts.append(f"buying pays after {format_run(bill.break_even_seconds)} of use")
    return "; ".join(parts)
