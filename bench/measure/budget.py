"""How long a measurement may go on, and how sure it shall be."""

from dataclasses import dataclass

from sslbench.bench.errors import MeasureError

WARMUP_SHARE = 0.25  # of the seconds, at most
FEWEST_WARMUP_STEPS = 2  # the first makes gradients and optimizer state, the second meets them


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many steps are run.

    Raises:
        MeasureError: a value is out of range; names the option.
    """

    steps: int | None = None
    """Timed steps; None: until `tolerance` is met or `max_seconds` are over."""
    warmup: int | None = None
    """Steps before them, at least 2; None: until the step's time is steady."""
    tolerance: float = 0.01
    """Half the width of the median's 95 % interval, as a share of it, at which enough steps were timed."""
    max_seconds: float = 60.0
    """No further step is begun after this long in warm-up (but for its first step) and timed steps; one is timed."""
    turn_seconds: float | None = None
    """How long a turn lasts where workers take turns; None: a quarter of a second, on a GPU one."""
    timeout: float = 900.0
    """Seconds after which everything is killed."""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise MeasureError(f"--steps: at least 1, got {self.steps}")
        if self.warmup is not None and self.warmup < FEWEST_WARMUP_STEPS:
            raise MeasureError(f"--warmup: at least {FEWEST_WARMUP_STEPS} steps, got {self.warmup}")
        if not 0 < self.tolerance < 1:  # also where it is not a number
            raise MeasureError(f"--tolerance: more than 0 and less than 100 %, got {100 * self.tolerance:g} %")
        for option, seconds in (("--max-seconds", self.max_seconds), ("--timeout", self.timeout)):
            if not seconds > 0:
                raise MeasureError(f"{option}: more than 0 seconds, got {seconds:g}")
