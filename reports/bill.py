"""Several devices, a step's energy, and a whole run's time, energy and money in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sslbench.bench.billing import Plan
from sslbench.bench.record import Record
from sslbench.reports.units import format_bytes, format_seconds, format_share, format_si, significant
from sslbench.reports.words import plain

_DAY_S = 86_400.0
_YEAR_S = 365.25 * _DAY_S
_JOULES_PER_WH = 3600.0


@dataclass(frozen=True, slots=True)
class RunView:
    """What a prediction says beside one step on one device; a text is empty where it says nothing."""

    devices: str = ""
    """How several share a step, and what of it is communication."""
    step_energy: str = ""
    step_energy_interval: str = ""
    budget: str = ""
    """What the whole run processes, and how many steps that is here."""
    source: str = ""
    time: str = ""
    time_interval: str = ""
    energy: str = ""
    energy_interval: str = ""
    power: str = ""
    rent: str = ""
    rent_interval: str = ""
    electricity: str = ""
    buy: str = ""
    break_even: str = ""

    @property
    def cost(self) -> str:
        """All that is about money, in one line."""
        rent = f"rented {self.rent}{_interval(self.rent_interval)}" if self.rent else ""
        rest = (("electricity", self.electricity), ("bought", self.buy), ("buying pays after", self.break_even))
        return "; ".join(filter(None, (rent, *(f"{word} {value}" for word, value in rest if value))))

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """Names and values for a terminal, without those that are empty."""
        power = f" at {self.power}, boards only" if self.power else ""
        rows = (
            ("devices", self.devices),
            ("energy", f"{self.step_energy} a step{_interval(self.step_energy_interval)}" if self.step_energy else ""),
            ("whole run", self.budget),
            ("  time", f"{self.time}{_interval(self.time_interval)}"),
            ("  energy", f"{self.energy}{power}{_interval(self.energy_interval)}" if self.energy else ""),
            ("  cost", self.cost),
        )
        return tuple((name, value) for name, value in rows if value)


def run_view(record: Record) -> RunView:
    """What a report shows of a prediction's devices, energy and whole run; nothing of a measurement."""
    if record.kind != "prediction":
        return RunView()
    energy, bill = record.energy, record.bill
    devices = "" if record.plan is None else _plan(record.plan)
    step_energy = "" if energy.joules_per_step is None else format_si(energy.joules_per_step, "J")
    step_interval = format_between(energy.interval_joules, lambda joules: format_si(joules, "J"))
    if bill is None:
        return RunView(devices=devices, step_energy=step_energy, step_energy_interval=step_interval)
    return RunView(
        devices=devices,
        step_energy=step_energy,
        step_energy_interval=step_interval,
        budget=f"{plain(bill.budget)}, here {bill.steps:,} steps of {round(bill.samples / bill.steps):,}",
        source=plain(bill.source),
        time=format_run(bill.seconds),
        time_interval=format_between(bill.seconds_interval, format_run),
        energy=_words(bill.joules, format_kwh),
        energy_interval=format_between(bill.joules_interval, format_kwh),
        power=_words(bill.watts, lambda watts: format_si(watts, "W")),
        rent=_words(bill.rent_usd, format_usd),
        rent_interval=format_between(bill.rent_usd_interval, format_usd),
        electricity=_words(bill.electricity_usd, format_usd),
        buy=_words(bill.buy_usd, format_usd),
        break_even=_words(bill.break_even_seconds, lambda seconds: f"{format_run(seconds)} of use"),
    )


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
    return format_si(joules / _JOULES_PER_WH, "Wh")


def format_between(interval: Sequence[float] | None, how: Callable[[float], str]) -> str:
    """An interval with its unit once where both ends have the same, such as `6.50 to 9.26 days`; empty for None."""
    if interval is None:
        return ""
    low, high = (how(edge) for edge in interval)
    _, _, unit = high.partition(" ")
    same = " " not in unit and low.partition(" ")[2] == unit  # not as in 3 h 20 min
    return f"{low.removesuffix(f' {unit}') if same else low} to {high}"


def _interval(words: str) -> str:
    return f", 90 % interval {words}" if words else ""


def _words(value: float | None, how: Callable[[float], str]) -> str:
    return "" if value is None else how(value)


def plan_words(plan: Plan) -> str:
    """What several devices make of a step, and what communication costs: `ddp: 97 % of as many single ones; ...`."""
    return (
        f"{plan.strategy}: {format_share(plan.efficiency)} of as many single ones; "
        f"{format_bytes(plan.communication_bytes)} exchanged a step in {format_seconds(plan.communication_seconds)}, "
        f"of which {format_seconds(plan.exposed_seconds)} not hidden"
    )


def _plan(plan: Plan) -> str:
    machines = f" in {plan.machines:,} machines" if plan.machines > 1 else ""
    return f"{plan.devices:,}{machines}, {plan_words(plan)}"
