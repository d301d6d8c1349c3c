"""Runs an exported model through ONNX Runtime, in a worker that never imports torch. Part of the worker."""

import os
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
import psutil

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.phases import measure_steps, memory_pass
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import HighWaterMark, resident_bytes
from sslbench.bench.measure.timing import HostClock

MODEL_FILE = "model.onnx"
INPUTS_FILE = "inputs.npz"
PROVIDERS = {"onnx-cpu": "CPUExecutionProvider", "onnx-cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3


def check_provider(backend: str) -> None:
    """Check that the installed ONNX Runtime has the backend's execution provider.

    Raises:
        MeasureError: it has not; says what to install.
    """
    available = onnxruntime.get_available_providers()
    if PROVIDERS[backend] not in available:
        raise MeasureError(
            f"{backend}: onnxruntime {onnxruntime.__version__} has no {PROVIDERS[backend]} (it has "
            f"{', '.join(available)}): pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )


def thread_count() -> int:
    """Threads that a session computes with: OMP_NUM_THREADS, else the physical cores (ONNX Runtime's own default)."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else psutil.cpu_count(logical=False) or 1


def open_session(folder: Path, backend: str) -> onnxruntime.InferenceSession:
    """A session of the exported model on the backend's provider.

    Raises:
        MeasureError: the runtime has no kernel for an operator of the model, or fell back to another provider.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = thread_count()
    try:
        session = onnxruntime.InferenceSession(folder / MODEL_FILE, options, providers=[PROVIDERS[backend]])
    except Exception as error:  # the runtime's exceptions share no public base class
        raise MeasureError(f"{backend}: ONNX Runtime cannot load the exported model: {error}") from error
    if session.get_providers()[0] != PROVIDERS[backend]:
        raise MeasureError(f"{backend}: {PROVIDERS[backend]} could not start (CUDA or cuDNN libraries missing?)")
    return session


def load_inputs(folder: Path, session: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
    """The example inputs by the names of the model's inputs; both are in the order of the module's parameters."""
    with np.load(folder / INPUTS_FILE) as arrays:
        values = [arrays[name] for name in arrays.files]
    return {entry.name: value for entry, value in zip(session.get_inputs(), values, strict=True)}


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Load the model, warm up, time, measure memory. On CUDA a step copies inputs to the GPU and outputs back.

    Raises:
        MeasureError: see `open_session`.
    """
    folder = Path(spec.folder)
    outcome = Outcome(threads=thread_count(), baseline_bytes=resident_bytes())
    reporter.phase("build")
    session = open_session(folder, spec.backend)
    inputs = load_inputs(folder, session)
    mark = HighWaterMark()

    def step() -> object:
        return session.run(None, inputs)

    measure_steps(step, HostClock(), spec, reporter, outcome)
    memory_pass(step, reporter, outcome)
    if spec.backend == "onnx-cpu":
        outcome.peak_resident_bytes = mark.read()
    for field in ("peak_allocated_bytes", "peak_reserved_bytes"):
        outcome.unknown[f"memory.{field}"] = "ONNX Runtime does not tell what its arena holds"
    outcome.unknown["phases"] = "ONNX Runtime runs the step as one graph"
    return outcome
