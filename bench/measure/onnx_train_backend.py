"""Trains an exported step through ONNX Runtime, in a worker that never imports torch. Part of the worker."""

from pathlib import Path

from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.phases import measure_steps, memory_pass
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import HighWaterMark, resident_bytes
from sslbench.bench.measure.timing import HostClock
from sslbench.bench.onnx.exported import model_bytes
from sslbench.bench.onnx.options import effective, open_session, session_options
from sslbench.bench.onnx.providers import PROVIDERS
from sslbench.bench.onnx.session import MODEL_FILE, open_training


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
    )
    reporter.phase("build")
    options = session_options(spec.onnx)
    opened = open_session(folder / MODEL_FILE, spec.backend, options, precision=spec.recipe["precision"])
    session = open_training(folder, PROVIDERS[spec.backend].name, opened=opened)
    mark = HighWaterMark()
    measure_steps(session.step, HostClock(), spec, reporter, outcome)
    memory_pass(session.step, reporter, outcome)
    if spec.backend == "onnx-cpu":
        outcome.peak_resident_bytes = mark.read()
    for field in ("peak_allocated_bytes", "peak_reserved_bytes"):
        outcome.unknown[f"memory.{field}"] = "ONNX Runtime does not tell what its arena holds"
    outcome.unknown["phases"] = "ONNX Runtime runs the step as one graph"
    return outcome
