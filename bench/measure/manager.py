"""Measures a recipe in workers of its own and writes down what came out. Imports no torch."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.backends import MEASURED
from sslbench.bench.measure.gpu import first_visible_gpu
from sslbench.bench.measure.messages import MEMORY_PHASE, Outcome, Spec, Task
from sslbench.bench.measure.process import run_worker
from sslbench.bench.measure.recording import make_record, with_data
from sslbench.bench.measure.sampler import PeakSampler, process_resident_bytes
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Backend, Record
from sslbench.kernels.data.source import Source

Progress = Callable[[int, int], None]

FEWEST_WARMUP_STEPS = 2  # the first makes gradients and optimizer state, the second meets them
_GPU_INTERVAL_SECONDS = 0.02  # an NVML query takes milliseconds; what the allocator reserved stays


def measure(
    recipe: Recipe,
    *,
    backend: Backend,
    steps: int = 20,
    warmup: int = 3,
    max_seconds: float = 60.0,
    timeout: float = 900.0,
    source: Source | None = None,
    command: Sequence[str],
    progress: Progress | None = None,
) -> Record:
    """Run the recipe's step in a worker process and record time, memory and energy.

    Args:
        recipe: what is run.
        backend: where: torch or ONNX Runtime, on the processor or on the first visible NVIDIA GPU.
        steps: timed steps.
        warmup: steps before them, at least 2.
        max_seconds: no further step is begun after this long in warm-up and timed steps; at least one is timed.
        timeout: seconds after which everything is killed.
        source: files that feed the step; the loader alone and the step that it feeds are then measured, too.
        command: the sslbench arguments that make the record again.
        progress: told how many of how many warm-up and timed steps are done.

    Raises:
        MeasureError: the backend is not available, or the step crashed, ran out of memory or took too long.
        RecipeError: the step cannot exist, or the user's own code raised.
    """
    _check(recipe, backend, steps, warmup)
    _check_spans(max_seconds, timeout)
    _check_source(source, backend)
    gpu = first_visible_gpu() if backend.endswith("-cuda") else None
    read = process_resident_bytes if gpu is None else gpu.worker_bytes
    sampler = PeakSampler(read) if gpu is None else PeakSampler(read, _GPU_INTERVAL_SECONDS)
    spec = partial(
        Spec,
        backend=backend,
        recipe=recipe.model_dump(),
        steps=steps,
        warmup=warmup,
        max_seconds=max_seconds,
        gpu_uuid=gpu.uuid if gpu else "",
        source=asdict(source) if source else {},
    )
    with _folder(backend) as folder:
        outcome = _run([spec(task=task, folder=folder) for task in _tasks(backend)], sampler, timeout, progress)
    ran = Recipe.model_validate(outcome.recipe) if outcome.recipe else recipe
    record = make_record(
        outcome, recipe=ran, backend=backend, gpu=gpu, sampled_bytes=sampler.peak_bytes, command=command
    )
    return record if source is None else with_data(record, outcome, source)


def _check(recipe: Recipe, backend: Backend, steps: int, warmup: int) -> None:
    if backend not in MEASURED:
        raise MeasureError(f"backend {backend!r} cannot be measured: name one of {', '.join(MEASURED)}")
    if steps < 1:
        raise MeasureError(f"--steps: at least 1, got {steps}")
    if warmup < FEWEST_WARMUP_STEPS:
        raise MeasureError(f"--warmup: at least {FEWEST_WARMUP_STEPS} steps, got {warmup}")
    if backend.startswith("onnx") and recipe.stage != "infer":
        raise MeasureError(f"{backend} runs inference only: add --stage infer, or use a torch backend to train")


def _check_spans(max_seconds: float, timeout: float) -> None:
    for option, seconds in (("--max-seconds", max_seconds), ("--timeout", timeout)):
        if not seconds > 0:  # also where it is not a number
            raise MeasureError(f"{option}: more than 0 seconds, got {seconds:g}")


def _check_source(source: Source | None, backend: Backend) -> None:
    if source is None:
        return
    if backend.startswith("onnx"):
        raise MeasureError(f"--{source.kind}: {backend} runs on synthetic input only: use a torch backend")
    if source.workers < 0:
        raise MeasureError(f"--workers: at least 0, got {source.workers}")


@contextmanager
def _folder(backend: Backend) -> Iterator[str]:
    """Where an exported model lies between its two workers."""
    if not backend.startswith("onnx"):
        yield ""
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="sslbench-")
    except OSError as error:
        raise MeasureError(f"no temporary folder for the exported model: {error}: set TMPDIR") from error
    with folder as path:
        yield path


def _tasks(backend: Backend) -> tuple[Task, ...]:
    return ("onnx-export", "onnx-run") if backend.startswith("onnx") else ("torch",)


def _run(specs: Sequence[Spec], sampler: PeakSampler, timeout: float, progress: Progress | None) -> Outcome:
    """One worker after the other, each fresh; the outcome of the last."""
    deadline = time.monotonic() + timeout
    total = (specs[-1].warmup + specs[-1].steps) * (2 if specs[-1].source else 1)

    def on_phase(name: str, pid: int) -> None:
        if name == MEMORY_PHASE:
            sampler.start(pid)
        else:
            sampler.stop()

    def on_step(done: int) -> None:
        if progress is not None:
            progress(done, total)

    outcome = Outcome()
    try:
        for spec in specs:
            outcome = run_worker(spec, deadline=deadline, on_phase=on_phase, on_step=on_step)
    finally:
        sampler.stop()
    if progress is not None:
        progress(total, total)
    return outcome
