"""From a predicted step to the bill of a whole run: time, energy and money for the recipe's budget."""

from math import ceil

from sslbench.bench.billing import Bill
from sslbench.bench.errors import RecipeError
from sslbench.bench.quantities import Energy, Interval, Time
from sslbench.bench.recipe import Recipe
from sslbench.hardware_profiles.schema import Price

JOULES_PER_KWH = 3.6e6
NO_BUDGET = "the recipe has no budget: give --epochs with --samples, --steps or --tokens"


def bill_of(
    recipe: Recipe,
    devices: int,
    time: Time,
    energy: Energy,
    price: Price,
    *,
    electricity_usd_per_kwh: float | None = None,
) -> tuple[Bill | None, dict[str, str]]:
    """The bill, and why each part of it that is null is so.

    Args:
        recipe: what is run, with its budget.
        devices: that work on the step, each with the recipe's batch.
        time: of one step.
        energy: of one step on all devices.
        price: of one device.
        electricity_usd_per_kwh: None: energy is not charged.
    """
    if recipe.stage != "train":
        return None, {}
    if recipe.budget is None:
        return None, {"bill": NO_BUDGET}
    if recipe.batch_size is None or time.step_seconds is None:
        return None, {"bill": "the step's batch or its time is not known"}
    batch = recipe.batch_size * devices
    try:
        samples = recipe.budget.total_samples(batch_size=batch, seq_len=recipe.seq_len)
    except RecipeError as error:
        return None, {"bill": str(error)}
    steps = ceil(samples / batch)
    seconds, rent = steps * time.step_seconds, _value(price.rent_usd_per_hour, devices)
    joules = None if energy.joules_per_step is None else steps * energy.joules_per_step
    electricity = None if None in (joules, electricity_usd_per_kwh) else _kwh(joules) * (electricity_usd_per_kwh or 0.0)
    buy = _value(price.buy_usd, devices)
    bill = Bill(
        budget=recipe.budget.words,
        source=recipe.budget.source,
        samples=round(samples),
        steps=steps,
        seconds=seconds,
        seconds_interval=_times(time.interval_seconds, steps),
        watts=None if joules is None else joules / seconds,
        joules=joules,
        joules_interval=_times(energy.interval_joules, steps),
        rent_usd=None if rent is None else seconds / 3600 * rent,
        rent_usd_interval=None if rent is None else _times(time.interval_seconds, steps / 3600 * rent),
        electricity_usd=electricity,
        buy_usd=buy,
        break_even_seconds=_break_even(rent, buy, (electricity or 0.0) / seconds * 3600),
    )
    return bill, _unknown(bill)


def _break_even(rent: float | None, buy: float | None, electricity_usd_per_hour: float) -> float | None:
    """Seconds of use after which renting has cost what buying does; None where it never does, or a price is missing."""
    if rent is None or buy is None or rent <= electricity_usd_per_hour:
        return None
    return buy / (rent - electricity_usd_per_hour) * 3600


def _unknown(bill: Bill) -> dict[str, str]:
    reasons = {
        "joules": "no power model for this kind of device, or no power limit in its profile",
        "rent_usd": "the machine's profile has no rent: give --price",
        "buy_usd": "the machine's profile has no price to buy at",
    }
    return {f"bill.{name}": reason for name, reason in reasons.items() if getattr(bill, name) is None}


def _kwh(joules: float | None) -> float:
    return (joules or 0.0) / JOULES_PER_KWH


def _value(figure: object, devices: int) -> float | None:
    value: float | None = getattr(figure, "value", None)
    return None if value is None else value * devices


def _times(interval: Interval | None, factor: float) -> Interval | None:
    return None if interval is None else (interval[0] * factor, interval[1] * factor)
