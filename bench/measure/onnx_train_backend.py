"""Trains an exported step through ONNX Runtime, in a worker that never imports torch. Part of the worker."""

import json
from pathlib import Path
from typing import Any

from sslbench.bench.measure.arena import count_arena
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.onnx_backend import VERIFIED_FILE
from sslbench.bench.measure.phases import measure_steps, memory_pass
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import HighWaterMark, resident_bytes
from sslbench.bench.measure.timing import HostClock
from sslbench.bench.onnx.exported import MODEL_FILE, model_bytes
from sslbench.bench.onnx.options import effective, open_session, session_options
from sslbench.bench.onnx.providers import PROVIDERS
from sslbench.bench.onnx.session import TrainingSession, open_training


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Load the graph and its state, warm up, time, measure memory. Every step updates the state on the device.

    Raises:
        MeasureError: ONNX Runtime cannot load the graph, or cannot compute it.
    """
    folder = Path(spec.folder)
    settings = effective(spec.onnx)
    outcome = Outcome(
        threads=int(settings["threads"]),
        baseline_bytes=resident_bytes(),
        onnx=settings,
        model_bytes=model_bytes(folder),
        output_error=json.loads((folder / VERIFIED_FILE).read_text(encoding="utf-8"))["output_error"],
    )
    reporter.phase("build")
    session, _ = _open(spec, session_options(spec.onnx))
    mark = HighWaterMark()
    measure_steps(session.step, HostClock(), spec, reporter, outcome)
    memory_pass(session.step, reporter, outcome)
    if spec.backend == "onnx-cpu":
        outcome.peak_resident_bytes = mark.read()
    del session
    reporter.phase("tensor count")
    _count(spec, outcome)
    outcome.unknown["phases"] = "ONNX Runtime runs the step as one graph"
    return outcome


def _open(spec: Spec, options: Any) -> tuple[TrainingSession, Any]:
    """The step at its first state, and the session of ONNX Runtime that runs it."""
    folder, precision = Path(spec.folder), spec.recipe["precision"]
    opened = open_session(folder / MODEL_FILE, spec.backend, options, precision=precision)
    return open_training(folder, PROVIDERS[spec.backend].name, opened=opened), opened


def _count(spec: Spec, outcome: Outcome) -> None:
    options = session_options(spec.onnx)
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(spec.folder) / "profile")
    bound_bytes = 0

    def observe() -> Path:
        nonlocal bound_bytes
        session, opened = _open(spec, options)
        session.step()
        session.step()
        bound_bytes = session.bound_bytes
        return Path(opened.end_profiling())

    step_bytes = count_arena(observe, outcome)
    if step_bytes is not None:
        outcome.peak_allocated_bytes = bound_bytes + step_bytes
