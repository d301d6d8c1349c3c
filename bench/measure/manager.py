"""Measures a recipe in workers of its own and writes down what came out. Imports no torch."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from sslbench.bench.errors import MeasureError, WorkerError
from sslbench.bench.files import check_writable
from sslbench.bench.measure.backends import MEASURED, on_processor
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.failed import FailedMeasurementError, failed_record
from sslbench.bench.measure.gpu import gpu_of
from sslbench.bench.measure.messages import Outcome, Spec, Task
from sslbench.bench.measure.predicted import with_prediction, without_prediction
from sslbench.bench.measure.process import worker_in_turns
from sslbench.bench.measure.recording import make_record, with_data
from sslbench.bench.measure.sampler import PeakSampler, process_resident_bytes
from sslbench.bench.measure.scaling import check_devices, with_scaling
from sslbench.bench.measure.state import StateWatch
from sslbench.bench.measure.waiting import Turns, at_once
from sslbench.bench.onnx.settings import check_settings
from sslbench.bench.quantities import Backend
from sslbench.bench.recipe import Option, Recipe
from sslbench.bench.record import Record
from sslbench.kernels.data.source import Source

Progress = Callable[[str, int, int | None], None]
"""Told the worker's phase, its warm-up and timed steps so far, and how many are expected (None: not known yet)."""

_GPU_INTERVAL_SECONDS = 0.02  # an NVML query takes milliseconds; what the allocator reserved stays


def measuring(
    recipe: Recipe,
    *,
    backend: Backend,
    budget: Budget | None = None,
    source: Source | None = None,
    snapshot: Path | None = None,
    memory_limit_bytes: int | None = None,
    devices: int = 1,
    strategy: str = "ddp",
    onnx: Mapping[str, Option] | None = None,
    command: Sequence[str],
    progress: Progress | None = None,
    predict: bool = True,
    in_turns: bool = False,
    details: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Turns[Record]:
    """Run the recipe's step in a worker process and record time, memory and energy.

    Args:
        recipe: what is run.
        backend: where: torch or ONNX Runtime, on the processor or on the first visible GPU.
        budget: how many steps, and for how long.
        source: files that feed the step; the loader alone and the step that it feeds are then measured, too.
        snapshot: file that torch's CUDA allocator writes its history of one step to, for docs.pytorch.org/memory_viz.
        memory_limit_bytes: most that the worker may hold, of the GPU's memory or else of the machine's.
        devices: how many GPUs, or processes on the processor, take a step together; each has the recipe's batch.
        strategy: `ddp` or `fsdp`, for several devices.
        onnx: how ONNX Runtime runs the step, see docs/onnx.md; for its backends.
        command: the sslbench arguments that make the record again.
        progress: told how far it is.
        predict: whether the record gets the prediction for the same step, made when the measurement is done.
        in_turns: whether the steps are timed in turns with other workers: yields where this one waits.
        details: whether phases and the bytes of tensors are measured after the timed steps.
        environment: variables of the worker's process, beside those of this one.

    Raises:
        MeasureError: the backend is not available, or an option goes with another one.
        FailedMeasurementError: a WorkerError: the step raised, crashed, ran out of memory or took too long.
    """
    budget = budget or Budget()
    _check(recipe, backend)
    _check_onnx(onnx or {}, backend)
    _check_source(source, backend)
    _check_snapshot(snapshot, backend)
    _check_memory_limit(memory_limit_bytes, backend)
    others = {"real input": source, "--memory-snapshot": snapshot, "--memory-limit": memory_limit_bytes}
    check_devices(devices, strategy, recipe=recipe, backend=backend, others=others)
    gpu, why_none = gpu_of(backend)
    read = process_resident_bytes if gpu is None else gpu.worker_bytes
    sampler = PeakSampler(read) if gpu is None else PeakSampler(read, _GPU_INTERVAL_SECONDS)
    watch = StateWatch(gpu, sampler, why_none, alone=not in_turns)
    spec = partial(
        Spec,
        backend=backend,
        recipe=recipe.model_dump(),
        steps=budget.steps,
        warmup=budget.warmup,
        tolerance=budget.tolerance,
        max_seconds=budget.max_seconds,
        gpu_uuid=gpu.uuid if gpu else "",
        source=asdict(source) if source else {},
        snapshot=str(snapshot) if snapshot else "",
        devices=devices,
        strategy=strategy,
        in_turns=in_turns,
        turn_seconds=budget.turn_seconds,
        details=details,
        environment=dict(environment or {}),
        onnx=dict(onnx or {}),
    )
    try:
        with _folder(backend, devices) as folder:
            specs = [
                # An export is no part of the step that is limited: it holds torch, and the weights several times.
                spec(task=task, folder=folder, memory_limit_bytes=None if "export" in task else memory_limit_bytes)
                for task in _tasks(recipe, backend, devices)
            ]
            outcome = yield from _run(specs, watch, budget.timeout, progress)
    except WorkerError as error:
        failed = failed_record(error, recipe=recipe, backend=backend, command=command)
        raise FailedMeasurementError(error, watch.added_to(failed, Outcome())) from error
    ran = Recipe.model_validate(outcome.recipe) if outcome.recipe else recipe
    record = make_record(
        outcome, recipe=ran, backend=backend, gpu=gpu, sampled_bytes=sampler.peak_bytes, command=command
    )
    record = watch.added_to(record, outcome)
    if devices > 1:
        record = with_scaling(record, outcome, devices=devices, strategy=strategy)
    if source is not None:
        record = with_data(record, outcome, source)
    if snapshot is not None and "snapshot" not in outcome.unknown:
        record = record.model_copy(update={"snapshot": str(snapshot)})
    if not predict:
        return without_prediction(record, "not asked for")
    return with_prediction(record, devices=devices, memory_limit_bytes=memory_limit_bytes, progress=progress)


measure = at_once(measuring)
"""The same for one measurement by itself; returns its record."""


def _check(recipe: Recipe, backend: Backend) -> None:
    if backend not in MEASURED:
        raise MeasureError(f"backend {backend!r} cannot be measured: name one of {', '.join(MEASURED)}")
    if backend.startswith("onnx") and recipe.compile:
        raise MeasureError(f"--compile: {backend} has a compiler of its own: use a torch backend")
    if recipe.precision == "int8" and not (backend.startswith("onnx") and recipe.stage == "infer"):
        raise MeasureError("--precision int8: only inference in ONNX Runtime has it: --stage infer --backend onnx-cpu")
    if backend.startswith("onnx") and recipe.precision == "bf16":
        raise MeasureError(
            f"--precision bf16: {backend} computes in fp32, fp16 or int8 (on NVIDIA's GPUs in tf32, too)"
        )
    if backend.startswith("onnx") and recipe.factory:
        raise MeasureError(
            f"{backend} cannot run {recipe.name}, a step of one's own, which cannot be exported: use torch"
        )
    if backend.startswith("onnx") and recipe.stage == "train":
        _check_onnx_training(recipe, backend)


def _check_onnx_training(recipe: Recipe, backend: Backend) -> None:
    if recipe.precision not in ("fp32", "tf32"):
        raise MeasureError(f"--precision {recipe.precision}: {backend} trains in fp32 only, or runs --stage infer")
    if recipe.activation_checkpointing:
        raise MeasureError(f"--activation-checkpointing: {backend} keeps what its graph needs: use a torch backend")


def _check_onnx(settings: Mapping[str, Option], backend: Backend) -> None:
    if settings and not backend.startswith("onnx"):
        raise MeasureError(f"--onnx: {backend} is not ONNX Runtime: name a backend such as onnx-cpu")
    check_settings(settings)


def _check_source(source: Source | None, backend: Backend) -> None:
    if source is None:
        return
    if backend.startswith("onnx"):
        raise MeasureError(f"--{source.kind}: {backend} runs on synthetic input only: use a torch backend")
    if source.workers < 0:
        raise MeasureError(f"--workers: at least 0, got {source.workers}")


def _check_snapshot(snapshot: Path | None, backend: Backend) -> None:
    if snapshot is None:
        return
    if backend != "torch-cuda":
        raise MeasureError(
            f"--memory-snapshot: {backend} has no allocator whose history torch writes down: use torch-cuda"
        )
    check_writable(snapshot)


def _check_memory_limit(limit_bytes: int | None, backend: Backend) -> None:
    if limit_bytes is None:
        return
    if limit_bytes <= 0:
        raise MeasureError(f"--memory-limit: more than 0 bytes, got {limit_bytes}")
    if not on_processor(backend) and backend != "torch-cuda":
        raise MeasureError(f"--memory-limit: {backend} cannot be limited: use torch-cuda, torch-cpu or onnx-cpu")


@contextmanager
def _folder(backend: Backend, devices: int) -> Iterator[str]:
    """Where an exported model lies between its two workers, and torchrun's notes on several devices."""
    if not backend.startswith("onnx") and devices == 1:
        yield ""
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="sslbench-")
    except OSError as error:
        raise MeasureError(f"no temporary folder for the worker's files: {error}: set TMPDIR") from error
    with folder as path:
        yield path


def _tasks(recipe: Recipe, backend: Backend, devices: int) -> tuple[Task, ...]:
    if devices > 1:
        return ("distributed",)
    if not backend.startswith("onnx"):
        return ("torch",)
    return ("onnx-train-export", "onnx-train-run") if recipe.stage == "train" else ("onnx-export", "onnx-run")


def _run(specs: Sequence[Spec], watch: StateWatch, timeout: float, progress: Progress | None) -> Turns[Outcome]:
    """One worker after the other, each fresh; the outcome of the last."""
    deadline = time.monotonic() + timeout
    phase = "start"

    def on_phase(name: str, pid: int) -> None:
        nonlocal phase
        phase = name
        watch.on_phase(name, pid)

    def on_step(done: int, total: int | None) -> None:
        if progress is not None:
            progress(phase, done, total)

    outcome = Outcome()
    try:
        for spec in specs:
            outcome = yield from worker_in_turns(spec, deadline=deadline, on_phase=on_phase, on_step=on_step)
    finally:
        watch.stop()
    return outcome
