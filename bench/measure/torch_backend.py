"""Runs a recipe's step through torch, on the processor or on the first visible GPU. Part of the worker."""

import gc
import time
from pathlib import Path

import torch

from sslbench.bench.blame import in_brief
from sslbench.bench.build import build_fed_step, build_step, factory_defaults
from sslbench.bench.errors import OutputError
from sslbench.bench.measure.clocks import clock_of
from sslbench.bench.measure.compiling import compiling
from sslbench.bench.measure.devices import device_of, precision_warnings, read_peaks, reset_peaks
from sslbench.bench.measure.loading import measure_loading
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.phase_pass import no_peaks, phase_pass, set_peaks
from sslbench.bench.measure.phases import measure_steps, memory_pass
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import HighWaterMark, resident_bytes
from sslbench.bench.measure.snapshot import write_snapshot
from sslbench.bench.measure.tensor_count import count_tensors
from sslbench.bench.measure.timing import Step
from sslbench.bench.recipe import Recipe
from sslbench.kernels.data.loader import Batches
from sslbench.kernels.data.source import Source


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Build, warm up, time, then measure memory in passes of their own.

    Raises:
        MeasureError: torch cannot use the device here, or cannot compile the step.
    """
    recipe = Recipe.model_validate(spec.recipe)
    device = device_of(spec.backend)
    if device.type == "cuda":
        _limit_memory(device, spec.memory_limit_bytes)
    recipe = factory_defaults(recipe)
    outcome = Outcome(recipe=recipe.model_dump(), threads=torch.get_num_threads(), baseline_bytes=resident_bytes())
    reporter.phase("build")
    began = time.monotonic()
    step, batches = _build(recipe, device, spec)
    build_seconds = time.monotonic() - began
    mark = HighWaterMark()
    reset_peaks(device)
    outcome.warnings += precision_warnings(device, recipe.precision)
    with compiling(recipe):
        measure_steps(step, clock_of(device), spec, reporter, outcome)
    memory_pass(step, reporter, outcome)
    if spec.snapshot:
        _write_snapshot(step, Path(spec.snapshot), outcome)
    if device.type != "cpu":
        read_peaks(device, outcome)
    else:
        outcome.peak_resident_bytes = mark.read()
        outcome.unknown["memory.peak_reserved_bytes"] = "torch's CPU allocator reserves nothing ahead"
    if not spec.details:
        if outcome.peak_allocated_bytes is None:
            _not_counted(outcome, "counted in another launch of the same session")
        return outcome
    phase_pass(step, device, spec, reporter, outcome)
    if batches is not None:
        measure_loading(
            step, batches, clock=clock_of(device), device=device, spec=spec, reporter=reporter, outcome=outcome
        )
    if device.type != "cpu":
        return outcome
    del step, batches
    gc.collect()
    expected_seconds = build_seconds + 3 * max(outcome.samples_seconds)
    _count_tensors(recipe, expected_seconds, spec, reporter, outcome)
    return outcome


def _build(recipe: Recipe, device: torch.device, spec: Spec) -> tuple[Step, Batches | None]:
    if not spec.source:
        return build_step(recipe, device), None
    return build_fed_step(recipe, device, Source(**spec.source))


def _count_tensors(recipe: Recipe, expected_seconds: float, spec: Spec, reporter: Reporter, outcome: Outcome) -> None:
    if expected_seconds > spec.max_seconds:
        _not_counted(outcome, f"counting tensors would take about {expected_seconds:.0f} s: raise --max-seconds")
        return
    reporter.phase("tensor count")
    try:
        phases = [phase["name"] for phase in outcome.phases if phase["name"] != "data"]  # it takes synthetic input
        counted = count_tensors(lambda: build_step(recipe, torch.device("cpu")), phases)
    except Exception as error:
        # twice, or a step that profiles itself, costs these fields alone
        _not_counted(outcome, f"the step could not be built and run again to count tensors: {in_brief(error)}")
        return
    outcome.peak_allocated_bytes = counted.peak_bytes
    set_peaks(outcome, counted.phase_peaks)


def _not_counted(outcome: Outcome, reason: str) -> None:
    outcome.unknown["memory.peak_allocated_bytes"] = reason
    no_peaks(outcome, reason)


def _write_snapshot(step: Step, path: Path, outcome: Outcome) -> None:
    try:
        write_snapshot(step, path)
    except OutputError as error:
        outcome.unknown["snapshot"] = str(error)
        outcome.warnings.append(f"--memory-snapshot: {error}")


def _limit_memory(device: torch.device, limit_bytes: int | None) -> None:
    """Above the limit torch's allocator raises its OutOfMemoryError; the driver's context is not counted."""
    if limit_bytes is not None:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(limit_bytes / total, 1.0), device)
