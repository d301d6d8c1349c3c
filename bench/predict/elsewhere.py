"""What was measured of a model elsewhere, as it enters a record: the sharpened time, and what it was before."""

import json
from dataclasses import dataclass

from sslbench.bench.explanation import MeasuredElsewhere, Sharpening
from sslbench.bench.predict.transfer import Observation, sharpen
from sslbench.bench.quantities import Time
from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.events import Trace
from sslbench.hardware_profiles.schema import Machine

_WORDS = {"name", "title", "paper", "budget"}
"""Fields of a recipe that change nothing in a step."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Measured steps, each beside what is predicted where it was measured."""

    observed: tuple[Observation, ...]
    measured: tuple[MeasuredElsewhere, ...]
    warnings: tuple[str, ...]
    """What makes a measurement doubtful."""

    def sharpened(
        self, recipe: Recipe, trace: Trace, machine: Machine, time: Time
    ) -> tuple[Time, Sharpening | None, list[str]]:
        """The predicted time of a recipe's trace made sharper, what it was, and what makes that doubtful."""
        found = sharpen(trace, machine, step_key(recipe), self.observed)
        if found is None:
            kinds = " and ".join(dict.fromkeys(each.mix.kind for each in self.observed))
            return (
                time,
                None,
                [f"{machine.title}: what was measured ({kinds}) says nothing of it: it has other kernels"],
            )
        rate = recipe.batch_size / found.step_seconds if recipe.batch_size else None
        changes = {"interval_seconds": found.interval_seconds, "samples_per_second": rate}
        sharper = time.model_copy(update={"step_seconds": found.step_seconds, **changes})
        return sharper, Sharpening(measured=list(self.measured), unsharpened=time), list(self.warnings)


def step_key(recipe: Recipe) -> str:
    """Equal for recipes of the very same step."""
    return json.dumps(recipe.model_dump(mode="json", exclude=_WORDS), sort_keys=True)
