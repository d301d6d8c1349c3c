"""The parts of a record that say what several devices, and a whole training run, take."""

from sslbench.bench.quantities import Interval, Part, Strategy


class Plan(Part):
    """A predicted training step on several devices, each with the recipe's batch."""

    strategy: Strategy
    devices: int
    machines: int
    """They stand in so many machines."""
    bus_bytes_per_second: float
    """What a large collective is expected to reach, per device and direction."""
    single_step_seconds: float
    """The same step on one device."""
    communication_bytes: int
    """What enters the collectives of a step, on each device."""
    communication_seconds: float
    """All collectives of a step, one after the other."""
    exposed_seconds: float
    """What of them no computation hides."""
    efficiency: float
    """Single step over the step on all devices: 1 where communication costs nothing."""


class Bill(Part):
    """What a whole training run takes on the machine, all its devices together."""

    budget: str
    """What it processes, in words."""
    source: str
    """Who says so."""
    samples: int
    steps: int
    """Optimizer updates of this recipe's batch on every device; the paper's batch may be another."""
    seconds: float
    seconds_interval: Interval | None = None
    watts: float | None = None
    """Mean draw of the devices' boards; the host and cooling come on top."""
    joules: float | None = None
    joules_interval: Interval | None = None
    rent_usd: float | None = None
    rent_usd_interval: Interval | None = None
    electricity_usd: float | None = None
    """Energy at the price that was asked for."""
    buy_usd: float | None = None
    """The devices alone, without a host."""
    break_even_seconds: float | None = None
    """How long the devices have to be used until renting has cost what buying does, electricity counted where its price
    is given."""
