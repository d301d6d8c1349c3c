"""What one process of a step on several devices does: build, then time in step with the others. Part of the rank."""

import os
import statistics
from typing import Any

import torch
from torch import distributed

from sslbench.bench.build import build_parallel_step, build_step
from sslbench.bench.measure.clocks import clock_of
from sslbench.bench.measure.devices import precision_warnings, reset_peaks
from sslbench.bench.measure.lockstep import Leader, follow
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.phases import measure_steps, memory_pass
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import HighWaterMark, resident_bytes
from sslbench.bench.measure.timing import Step
from sslbench.bench.recipe import Recipe

_NOT_HERE = "not measured on several devices: leave out --devices"


def run(spec: Spec, rank: int, reporter: Reporter) -> Outcome | None:
    """Measure as one of the ranks; the outcome of all of them on rank 0, None on the others.

    Raises:
        RecipeError: the step cannot exist, or not under this strategy.
    """
    recipe, device = Recipe.model_validate(spec.recipe), _device(spec, rank)
    communication = "nccl" if device.type == "cuda" else "gloo"
    if rank == 0:
        reporter.phase("import")
    distributed.init_process_group(communication, device_id=device if device.type == "cuda" else None)
    group: Any = distributed.new_group(backend="gloo")
    outcome = Outcome(threads=torch.get_num_threads(), baseline_bytes=resident_bytes(), communication=communication)
    if rank == 0:
        reporter.phase("build")
    step = _build(recipe, device, spec, rank)
    mark = HighWaterMark()
    reset_peaks(device)
    outcome.warnings += precision_warnings(device, recipe.precision)
    clock = clock_of(device)
    if rank == 0:
        leader = Leader(step, clock, group)
        measure_steps(leader.step, leader, spec, reporter, outcome)
        memory_pass(leader.step, reporter, outcome)
        leader.end()
    else:
        follow(step, clock, group)
    mine = _figures(rank, device, clock.samples_seconds(), mark)
    every: list[Any] | None = [None] * distributed.get_world_size() if rank == 0 else None
    distributed.gather_object(mine, every, dst=0, group=group)
    return None if every is None else _together(outcome, every, device)


def _device(spec: Spec, rank: int) -> torch.device:
    if spec.backend != "torch-cuda":
        return torch.device("cpu")
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    return device


def _build(recipe: Recipe, device: torch.device, spec: Spec, rank: int) -> Step:
    torch.manual_seed(0)  # all ranks begin with the same parameters
    if int(os.environ["LOCAL_WORLD_SIZE"]) == 1:
        return build_step(recipe, device)
    step = build_parallel_step(recipe, device, spec.strategy)
    torch.manual_seed(rank)  # and draw masks and noise of their own
    return step


def _figures(rank: int, device: torch.device, samples: list[float], mark: HighWaterMark) -> dict[str, Any]:
    """Fields of the record's `Rank`, and every timed step."""
    figures = {
        "rank": rank,
        "device": str(device),
        "step_seconds": statistics.median(samples),
        "resident_bytes": mark.read() or resident_bytes(),
        "samples_seconds": samples,
    }
    if device.type == "cuda":
        figures["peak_allocated_bytes"] = torch.cuda.max_memory_allocated(device)
        figures["peak_reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    return figures


def _together(outcome: Outcome, every: list[dict[str, Any]], device: torch.device) -> Outcome:
    """Each step as long as its slowest rank took, and the memory of the rank that needs most."""
    outcome.samples_seconds = [max(steps) for steps in zip(*(one.pop("samples_seconds") for one in every), strict=True)]
    outcome.ranks = every
    if device.type == "cuda":
        outcome.peak_allocated_bytes = max(one["peak_allocated_bytes"] for one in every)
        outcome.peak_reserved_bytes = max(one["peak_reserved_bytes"] for one in every)
        outcome.joules_per_step = outcome.energy_source = None
        outcome.unknown["energy.joules_per_step"] = "the counter is that of one of the GPUs"
    else:
        outcome.peak_resident_bytes = max(one["resident_bytes"] for one in every)
        outcome.unknown["memory.peak_allocated_bytes"] = _NOT_HERE
        outcome.unknown["memory.peak_reserved_bytes"] = "torch's CPU allocator reserves nothing ahead"
    outcome.unknown["phases"] = _NOT_HERE
    return outcome
