"""What the pytest plugin's fixtures give to a test. Imports torch only to trace and to run."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sslbench.bench.environment import describe_environment
from sslbench.bench.gate.snapshot import StepSnapshot
from sslbench.bench.gate.take import Asked, find_target, take_step
from sslbench.bench.measure.backends import default_backend
from sslbench.bench.recipe import Recipe
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache, cache_folder

RecipeOrFunction = str | Callable[..., Any]


class TracedStep:
    """What one step needs, by kind of device: `cuda`, `cpu`, `cuda:9.0`, `cpu:16`, or a machine such as `rtx-4090`.

    Args:
        recipe: catalog name, recipe TOML, `file.py:function`, or a function of a file.
        changes: fields of the recipe, or parameters of the objective or of the function.
    """

    def __init__(self, recipe: RecipeOrFunction, **changes: Any) -> None:
        self._recipe, self._changes = _argument(recipe), _fields(changes)
        self._taken = cache(self._take)

    def peak_bytes(self, device: str) -> int:
        """Most bytes that torch's allocator holds for tensors at one time during the step (`peak_allocated_bytes`).

        Raises:
            SSLBenchError: there is no such device or recipe, or the step cannot be traced.
        """
        return self._taken(device).memory.peak_allocated_bytes

    def reserved_bytes(self, device: str) -> int | None:
        """Most bytes that the caching allocator holds from the device; None on a CPU, which has none."""
        return self._taken(device).memory.peak_reserved_bytes

    def flops(self, device: str) -> int:
        """FLOP of the step."""
        return self._taken(device).work.flops

    def bytes_moved(self, device: str) -> int:
        """Bytes that its operators read and write."""
        return self._taken(device).work.bytes_moved

    def operators(self, device: str) -> int:
        """How many operators it runs."""
        return self._taken(device).work.operators

    def kernel_launches(self, device: str) -> int:
        """How many kernels they launch, about."""
        return self._taken(device).work.kernel_launches

    def _take(self, device: str) -> StepSnapshot:
        return take_step(Asked(self._recipe, self._changes, find_target(device)), TraceCache(cache_folder()))


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """A step that was run here."""

    seconds: float
    """Median, of pytest-benchmark's rounds."""
    peak_bytes: int | None
    """Most bytes that tensors held on the GPU; on a CPU, that the process grew by. None where nobody knows."""
    joules: float | None
    """Per step; None where there is no counter."""


def measure_in_test(
    benchmark: Any, recipe: RecipeOrFunction, backend: str | None, changes: Mapping[str, Any]
) -> MeasuredStep:
    """Run a step through pytest-benchmark's timer; memory, energy and environment go into its `extra_info`.

    Args:
        benchmark: pytest-benchmark's fixture.
        recipe: as of `TracedStep`.
        backend: `torch-cpu`, `torch-cuda`, ...; None: what is here.
        changes: as of `TracedStep`.

    Raises:
        SSLBenchError: the recipe is wrong, or the device is not here.
    """
    from sslbench.bench.build import build_step, factory_defaults  # noqa: PLC0415 - imports torch
    from sslbench.bench.measure.clocks import clock_of  # noqa: PLC0415
    from sslbench.bench.measure.devices import device_of, read_peaks, reset_peaks  # noqa: PLC0415
    from sslbench.bench.measure.energy import EnergyMeter  # noqa: PLC0415
    from sslbench.bench.measure.messages import Outcome  # noqa: PLC0415
    from sslbench.bench.measure.resident import HighWaterMark, resident_bytes  # noqa: PLC0415

    chosen = backend or default_backend()
    device = device_of(chosen)
    resolved = factory_defaults(resolve_recipe(_argument(recipe), _fields(changes)))
    before, mark = resident_bytes(), HighWaterMark()
    step, clock = build_step(resolved, device), clock_of(device)
    reset_peaks(device)
    steps = 0

    def whole_step() -> None:
        nonlocal steps
        step()
        clock.wait()
        steps += 1

    whole_step()  # makes gradients, optimizer state and compiled code
    steps = 0
    energy = EnergyMeter(chosen)
    benchmark(whole_step)
    joules = energy.read().joules
    outcome = Outcome()
    if device.type == "cpu":
        peak = mark.read()
        outcome.peak_allocated_bytes = None if peak is None else max(peak - before, 0)
    else:
        read_peaks(device, outcome)
    measured = MeasuredStep(
        seconds=_median(benchmark), peak_bytes=outcome.peak_allocated_bytes, joules=joules / steps if joules else None
    )
    benchmark.extra_info.update(_extra(measured, resolved, chosen))
    return measured


def _median(benchmark: Any) -> float:
    """Nothing was timed where `--benchmark-disable` is given."""
    return float(benchmark.stats.stats.median) if benchmark.stats is not None else float("nan")


def _extra(measured: MeasuredStep, recipe: Recipe, backend: str) -> dict[str, Any]:
    return {
        "recipe": recipe.model_dump(exclude_defaults=True),
        "backend": backend,
        "peak_bytes": measured.peak_bytes,
        "joules_per_step": measured.joules,
        "environment": describe_environment().model_dump(exclude_none=True),
    }


def _argument(recipe: RecipeOrFunction) -> str:
    if isinstance(recipe, str):
        return recipe
    file = inspect.getsourcefile(recipe) or ""
    return f"{Path(file)}:{recipe.__name__}"


def _fields(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a recipe as such, all else as its options."""
    fields = {name: value for name, value in changes.items() if name in Recipe.model_fields}
    options = {name: value for name, value in changes.items() if name not in fields}
    return {**fields, "options": options} if options else fields
