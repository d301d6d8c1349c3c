"""Recipe and machines to predictions: a trace from the cache or made now, then memory, time, verdict, largest batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sslbench.bench.billing import Bill
from sslbench.bench.doubts import warnings_of
from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import SSLBenchError
from sslbench.bench.explanation import Sharpening
from sslbench.bench.predict.batch import max_batch_size
from sslbench.bench.predict.bill import bill_of
from sslbench.bench.predict.communication import fabric_of
from sslbench.bench.predict.compiled import compiled
from sslbench.bench.predict.explain import explain
from sslbench.bench.predict.prediction import Prediction, predict, predict_alone
from sslbench.bench.predict.sharding import on_one_of
from sslbench.bench.quantities import Backend, Strategy
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.trace.events import Target, Trace
from sslbench.hardware_profiles.schema import Device, Machine

if TYPE_CHECKING:  # imports numpy, which only measurements elsewhere need
    from sslbench.bench.predict.elsewhere import Elsewhere

BACKENDS: dict[str, Backend] = {"cpu": "torch-cpu", "mps": "torch-mps", "cuda": "torch-cuda", "rocm": "torch-cuda"}
_NO_POWER = "no power model for this kind of device, or no power limit in its profile"


@dataclass(frozen=True, slots=True)
class Run:
    """How a recipe is run on a machine, beside what the recipe says."""

    strategy: Strategy = "ddp"
    """How several devices share a training step."""
    electricity_usd_per_kwh: float | None = None
    """None: energy is not charged."""


def fit(
    recipe: Recipe,
    machines: Sequence[Machine],
    *,
    cache: TraceCache,
    command: list[str],
    explained: bool = False,
    measured: "Elsewhere | None" = None,
    run: Run | None = None,
) -> list[Record]:
    """Predict a recipe on each machine.

    Args:
        recipe: what is run; a factory's own batch size is taken where the recipe has none.
        machines: where; each of several devices with the recipe's batch.
        cache: where traces are kept between calls.
        command: the sslbench arguments that ask this, for the records.
        explained: whether the records say what they rest on.
        measured: what was measured elsewhere, to sharpen the times by.
        run: how it is run; None: as `Run` has it.

    Raises:
        SSLBenchError: the step cannot be built or traced.
    """
    recipe = with_defaults(recipe)
    source = TraceSource(recipe, cache)
    options: Any = {"explained": explained, "measured": measured, "run": run}
    return [predict_on(recipe, machine, source, command, **options) for machine in machines]


class TraceSource:
    """Traces of one recipe at any batch, for any device; each is made once."""

    def __init__(self, recipe: Recipe, cache: TraceCache) -> None:
        self.recipe = recipe
        self._cache = cache
        self._made: dict[tuple[int | None, Target, tuple[int, int]], Trace] = {}
        self._run: dict[tuple[Target, tuple[int, int]], Trace] = {}

    def trace(self, device: Device, batch_size: int | None) -> Trace:
        """The recipe's trace at a batch size, as the device would run it in eager mode."""
        target, capability = target_of(device)
        key = (batch_size, target, capability)
        if key not in self._made:
            self._made[key] = self._load(batch_size, target, capability)
        return self._made[key]

    def run_trace(self, device: Device) -> Trace:
        """The trace at the recipe's own batch size, with the kernels that torch.compile makes where it is compiled."""
        key = target_of(device)
        if key not in self._run:
            self._run[key] = as_run(self.recipe, self.trace(device, self.recipe.batch_size))
        return self._run[key]

    def _load(self, batch_size: int | None, target: Target, capability: tuple[int, int]) -> Trace:
        recipe = self.recipe.model_copy(update={"batch_size": batch_size})
        return load_trace(recipe, target, capability, self._cache)


def as_run(recipe: Recipe, trace: Trace) -> Trace:
    """A recipe's trace, which is eager, with the kernels that torch.compile makes where the recipe is compiled."""
    return compiled(trace) if recipe.compile and trace.target != "cpu" else trace


def load_trace(recipe: Recipe, target: Target, capability: tuple[int, int], cache: TraceCache) -> Trace:
    """A recipe's trace from the cache, else made now and kept there.

    Raises:
        SSLBenchError: the step cannot be built or traced.
    """
    trace = cache.load(recipe, target, capability)
    if trace is None:
        from sslbench.bench.trace.recipes import trace_recipe  # noqa: PLC0415 - imports torch

        trace = trace_recipe(recipe, target, capability)
        cache.save(recipe, target, capability, trace)
    return trace


def target_of(device: Device) -> tuple[Target, tuple[int, int]]:
    """What is traced for a device: devices whose kernels allocate alike share one trace."""
    if device.kind == "cpu":
        return "cpu", (0, 0)
    capability = device.compute_capability or (8, 0)
    if capability < (8, 0):
        return "cuda", (7, 5)  # no flash attention
    return "cuda", (9, 0) if capability[0] in (9, 10) else (8, 0)  # cuBLAS takes a larger workspace on Hopper


def with_defaults(recipe: Recipe) -> Recipe:
    """The recipe with the sizes that a factory has as defaults; any other recipe as it is."""
    if not recipe.factory:
        return recipe
    from sslbench.bench.build import factory_defaults  # noqa: PLC0415 - imports torch

    return factory_defaults(recipe)


def predict_on(
    recipe: Recipe,
    machine: Machine,
    source: TraceSource,
    command: list[str],
    *,
    explained: bool = False,
    measured: "Elsewhere | None" = None,
    run: Run | None = None,
) -> Record:
    """The prediction for one machine, from the recipe's traces; arguments and errors as of `fit`."""
    run = run or Run()
    trace = source.run_trace(machine.device)
    prediction, sharpening, doubts = predict_sharpened(recipe, trace, machine, run, measured)
    largest, unknown = largest_batch(recipe, machine, source, run.strategy)
    return record_of(
        recipe,
        machine,
        prediction,
        command,
        run,
        max_batch_size=largest,
        explain=explain(trace, machine) if explained else None,
        sharpening=sharpening,
        unknown=unknown,
        warnings=[*warnings_of(recipe, machine), *doubts],
    )


def predict_sharpened(
    recipe: Recipe, trace: Trace, machine: Machine, run: Run, measured: "Elsewhere | None"
) -> tuple[Prediction, Sharpening | None, list[str]]:
    """The prediction, how measurements elsewhere changed its time, and what makes that doubtful."""
    alone, sharpening, doubts = None, None, list[str]()
    if measured is not None:
        alone, sharpening, doubts = measured.sharpened(recipe, trace, machine, predict_alone(trace, machine))
    prediction = predict(trace, machine, expandable=recipe.expandable_segments, strategy=run.strategy, alone=alone)
    return prediction, sharpening, doubts


def bill_for(recipe: Recipe, machine: Machine, prediction: Prediction, run: Run) -> tuple[Bill | None, dict[str, str]]:
    """The bill of the recipe's budget, and why each part of it that is null is so."""
    return bill_of(
        recipe,
        prediction.plan.devices if prediction.plan else 1,
        prediction.time,
        prediction.energy,
        machine.price,
        electricity_usd_per_kwh=run.electricity_usd_per_kwh,
    )


def record_of(
    recipe: Recipe,
    machine: Machine,
    prediction: Prediction,
    command: list[str],
    run: Run,
    *,
    unknown: dict[str, str],
    **fields: Any,
) -> Record:
    """A prediction as a record, with the bill of the recipe's budget; `fields` are the record's other ones."""
    bill, missing = bill_for(recipe, machine, prediction, run)
    no_power = {} if prediction.energy.joules_per_step is not None else {"energy.joules_per_step": _NO_POWER}
    return Record(
        kind="prediction",
        created=datetime.now(UTC),
        backend=BACKENDS[machine.device.kind],
        recipe=recipe,
        machine=machine,
        environment=describe_environment(),
        command=command,
        memory=prediction.memory,
        time=prediction.time,
        energy=prediction.energy,
        work=prediction.work,
        verdict=prediction.verdict,
        probability_fits=prediction.probability_fits,
        plan=prediction.plan,
        bill=bill,
        unknown={**no_power, **missing, **unknown},
        **fields,
    )


def largest_batch(
    recipe: Recipe, machine: Machine, source: TraceSource, strategy: Strategy
) -> tuple[int | None, dict[str, str]]:
    """The largest batch that fits, and why it is not known where it is not."""
    if recipe.batch_size is None:
        reason = "the factory takes no batch_size"
        return None, {"max_batch_size": reason, "time.samples_per_second": reason}
    devices = machine.device_count if fabric_of(machine) is not None else 1
    try:
        largest = max_batch_size(
            lambda batch: on_one_of(source.trace(machine.device, batch), strategy, devices),
            recipe.batch_size,
            machine,
            expandable=recipe.expandable_segments,
        )
        return largest, {}
    except SSLBenchError as error:  # the recipe runs at its own batch, but not at another one
        return None, {"max_batch_size": f"at another batch: {error}"}
