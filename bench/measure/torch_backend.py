"""Runs a recipe's step through torch, on the processor or on the first visible NVIDIA GPU. Part of the worker."""

import gc
import os
import time
from pathlib import Path
from typing import Any

import torch

from sslbench.bench.blame import in_brief
from sslbench.bench.build import build_fed_step, build_step, factory_defaults
from sslbench.bench.errors import MeasureError, OutputError
from sslbench.bench.measure.loading import measure_loading
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.phase_pass import no_peaks, phase_pass, set_peaks
from sslbench.bench.measure.phases import measure_steps, memory_pass
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import HighWaterMark, resident_bytes
from sslbench.bench.measure.snapshot import write_snapshot
from sslbench.bench.measure.tensor_count import count_tensors
from sslbench.bench.measure.timing import HostClock, Step
from sslbench.bench.recipe import Recipe
from sslbench.kernels.data.loader import Batches
from sslbench.kernels.data.source import Source


class CudaClock:
    """Time on the GPU between two events around each step.

    The steps are not waited for one by one: as in a training loop, the host runs ahead of the GPU, and launch time that
    hides behind the GPU's work costs nothing. A step that the host holds up shows that in full.
    """

    def __init__(self) -> None:
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds: list[float] = []

    def time(self, step: Step) -> None:
        """Run the step once between two events."""
        start, end = _event(), _event()
        start.record()
        step()
        end.record()
        self._events.append((start, end))

    def wait(self) -> None:
        """Return once the GPU has done all it was given."""
        torch.cuda.synchronize()

    def finished_seconds(self) -> list[float]:
        """Seconds of the timed steps that the GPU has done; waits for nothing."""
        done = next((at for at, (_, end) in enumerate(self._events) if not end.query()), len(self._events))
        self._seconds += [start.elapsed_time(end) / 1e3 for start, end in self._events[:done]]
        del self._events[:done]
        return list(self._seconds)

    def samples_seconds(self) -> list[float]:
        """Seconds of every step timed so far; waits for the GPU."""
        self.wait()
        return self.finished_seconds()


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Build, warm up, time, then measure memory in passes of their own.

    Raises:
        MeasureError: torch cannot use a GPU here.
    """
    recipe = Recipe.model_validate(spec.recipe)
    device = torch.device("cuda", 0) if spec.backend == "torch-cuda" else torch.device("cpu")
    if device.type == "cuda":
        _check_cuda()
        _limit_memory(device, spec.memory_limit_bytes)
    recipe = factory_defaults(recipe)
    outcome = Outcome(recipe=recipe.model_dump(), threads=torch.get_num_threads(), baseline_bytes=resident_bytes())
    reporter.phase("build")
    began = time.monotonic()
    step, batches = _build(recipe, device, spec)
    build_seconds = time.monotonic() - began
    mark = HighWaterMark()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clock = HostClock if device.type == "cpu" else CudaClock
    measure_steps(step, clock(), spec, reporter, outcome)
    memory_pass(step, reporter, outcome)
    if spec.snapshot:
        _write_snapshot(step, Path(spec.snapshot), outcome)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        outcome.peak_allocated_bytes = torch.cuda.max_memory_allocated(device)
        outcome.peak_reserved_bytes = torch.cuda.max_memory_reserved(device)
    else:
        outcome.peak_resident_bytes = mark.read()
        outcome.unknown["memory.peak_reserved_bytes"] = "torch's CPU allocator reserves nothing ahead"
    phase_pass(step, device, spec, reporter, outcome)
    if batches is not None:
        measure_loading(step, batches, clock=clock(), device=device, spec=spec, reporter=reporter, outcome=outcome)
    if device.type == "cuda":
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
        counted = count_tensors(lambda: build_step(recipe, torch.device("cpu")))
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


def _check_cuda() -> None:
    if torch.cuda.is_available():
        return
    version: Any = torch.version.cuda
    if version is None:
        raise MeasureError(
            f"torch-cuda: the installed PyTorch {torch.__version__} has no CUDA: "
            "install a CUDA build (pytorch.org/get-started/locally), or use --backend torch-cpu"
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hint = f"CUDA_VISIBLE_DEVICES is {visible!r}" if visible is not None else "does nvidia-smi list a GPU?"
    raise MeasureError(f"torch-cuda: PyTorch {torch.__version__} finds no GPU it can use ({hint})")
