"""Recipe and machines to predictions: a trace from the cache or made now, then memory, time, verdict, largest batch."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import SSLBenchError
from sslbench.bench.predict.batch import max_batch_size
from sslbench.bench.predict.explain import explain
from sslbench.bench.predict.prediction import predict
from sslbench.bench.quantities import Backend
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.trace.events import Target, Trace
from sslbench.hardware_profiles.schema import Device, Machine

if TYPE_CHECKING:  # imports numpy, which only measurements elsewhere need
    from sslbench.bench.predict.elsewhere import Elsewhere

BACKENDS: dict[str, Backend] = {"cpu": "torch-cpu", "mps": "torch-mps", "cuda": "torch-cuda", "rocm": "torch-cuda"}
_NO_COUNTER = "predicted from no power model yet: measure with `sslbench profile`"


def fit(
    recipe: Recipe,
    machines: Sequence[Machine],
    *,
    cache: TraceCache,
    command: list[str],
    explained: bool = False,
    measured: "Elsewhere | None" = None,
) -> list[Record]:
    """Predict a recipe on each machine.

    Args:
        recipe: what is run; a factory's own batch size is taken where the recipe has none.
        machines: where; several devices are predicted as one of them.
        cache: where traces are kept between calls.
        command: the sslbench arguments that ask this, for the records.
        explained: whether the records say what they rest on.
        measured: what was measured elsewhere, to sharpen the times by.

    Raises:
        SSLBenchError: the step cannot be built or traced.
    """
    recipe = with_defaults(recipe)
    source = TraceSource(recipe, cache)
    return [
        predict_on(recipe, machine, source, command, explained=explained, measured=measured) for machine in machines
    ]


class TraceSource:
    """Traces of one recipe at any batch, for any device; each is made once."""

    def __init__(self, recipe: Recipe, cache: TraceCache) -> None:
        self.recipe = recipe
        self._cache = cache
        self._made: dict[tuple[int | None, Target, tuple[int, int]], Trace] = {}

    def trace(self, device: Device, batch_size: int | None) -> Trace:
        """The recipe's trace at a batch size, as the device would run it."""
        target, capability = target_of(device)
        key = (batch_size, target, capability)
        if key not in self._made:
            self._made[key] = self._load(batch_size, target, capability)
        return self._made[key]

    def _load(self, batch_size: int | None, target: Target, capability: tuple[int, int]) -> Trace:
        recipe = self.recipe.model_copy(update={"batch_size": batch_size})
        return load_trace(recipe, target, capability, self._cache)


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
) -> Record:
    """The prediction for one machine, from the recipe's traces; arguments and errors as of `fit`."""
    trace = source.trace(machine.device, recipe.batch_size)
    prediction = predict(trace, machine, expandable=recipe.expandable_segments)
    largest, unknown = _largest_batch(recipe, machine, source)
    time, sharpening, doubts = prediction.time, None, list[str]()
    if measured is not None:
        time, sharpening, doubts = measured.sharpened(recipe, trace, machine, prediction.time)
    return Record(
        kind="prediction",
        created=datetime.now(UTC),
        backend=BACKENDS[machine.device.kind],
        recipe=recipe,
        machine=machine,
        environment=describe_environment(),
        command=command,
        memory=prediction.memory,
        time=time,
        work=prediction.work,
        verdict=prediction.verdict,
        probability_fits=prediction.probability_fits,
        max_batch_size=largest,
        explain=explain(trace, machine) if explained else None,
        sharpening=sharpening,
        unknown={"energy.joules_per_step": _NO_COUNTER, **unknown},
        warnings=[*_warnings(recipe, machine), *doubts],
    )


def _largest_batch(recipe: Recipe, machine: Machine, source: TraceSource) -> tuple[int | None, dict[str, str]]:
    if recipe.batch_size is None:
        reason = "the factory takes no batch_size"
        return None, {"max_batch_size": reason, "time.samples_per_second": reason}
    try:
        largest = max_batch_size(
            lambda batch: source.trace(machine.device, batch),
            recipe.batch_size,
            machine,
            expandable=recipe.expandable_segments,
        )
        return largest, {}
    except SSLBenchError as error:  # the recipe runs at its own batch, but not at another one
        return None, {"max_batch_size": f"at another batch: {error}"}


def _warnings(recipe: Recipe, machine: Machine) -> list[str]:
    device = machine.device
    warnings = []
    if machine.device_count > 1:
        warnings.append(f"{machine.title}: one of its {machine.device_count} devices, each with the recipe's batch")
    if device.kind in ("rocm", "mps"):
        warnings.append(f"{machine.title}: kernels of {device.kind} are predicted as CUDA's, with a wider interval")
    if recipe.compile:
        warnings.append("torch.compile: predicted as eager; a compiled step needs less time, and often less memory")
    if recipe.precision in ("bf16", "fp16") and recipe.precision not in device.peak_flops_per_second:
        warnings.append(f"{machine.title} has no fast {recipe.precision}: predicted at its fp32 rate")
    return warnings
