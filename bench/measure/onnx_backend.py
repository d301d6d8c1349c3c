"""Runs an exported model through ONNX Runtime, in a worker that never imports torch. Part of the worker."""

import json
from pathlib import Path

import psutil

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.arena import count_arena
from sslbench.bench.measure.messages import Outcome, Spec
from sslbench.bench.measure.phases import measure_steps, memory_pass
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import HighWaterMark, resident_bytes
from sslbench.bench.measure.timing import HostClock
from sslbench.bench.onnx.exported import MODEL_FILE, model_bytes, read_exported
from sslbench.bench.onnx.options import effective
from sslbench.bench.onnx.providers import PROVIDERS
from sslbench.bench.onnx.runner import OPTIMISED_FILE, Runner

VERIFIED_FILE = "verified.json"
"""Written by the worker before: where the model is, and how far its outputs are from torch's."""


def run(spec: Spec, reporter: Reporter) -> Outcome:
    """Load the model, bind its batch and results, warm up, time, measure memory.

    Raises:
        MeasureError: ONNX Runtime cannot load the model.
    """
    verified = json.loads((Path(spec.folder) / VERIFIED_FILE).read_text(encoding="utf-8"))
    model = Path(verified["model"])
    exported = read_exported(model)
    settings = effective(spec.onnx)
    outcome = Outcome(
        threads=int(settings["threads"]),
        baseline_bytes=resident_bytes(),
        onnx={**settings, "opset": exported.opset, "dynamic_batch": bool(exported.batch)},
        model_bytes=model_bytes(model),
        output_error=verified["output_error"],
    )
    outcome.warnings += exported.warnings
    reporter.phase("build")
    runner = Runner(model, spec.backend, spec.onnx, precision=spec.recipe["precision"])
    mark = HighWaterMark()
    measure_steps(runner.step, HostClock(), spec, reporter, outcome)
    memory_pass(runner.step, reporter, outcome)
    if PROVIDERS[spec.backend].device == "cpu":
        outcome.peak_resident_bytes = mark.read()
    bound_bytes = runner.bound_bytes
    del runner
    reporter.phase("tensor count")
    _count(model, bound_bytes, spec, outcome)
    outcome.unknown["phases"] = "ONNX Runtime runs the step as one graph"
    return outcome


def _count(model: Path, bound_bytes: int, spec: Spec, outcome: Outcome) -> None:
    folder = Path(spec.folder)

    def observe() -> Path:
        _check_room(model, spec, outcome)
        observed = Runner(model, spec.backend, spec.onnx, precision=spec.recipe["precision"], observe=folder)
        observed.step()
        observed.step()
        profile = observed.end_profiling()
        if spec.recipe["precision"] == "fp16":
            _warn_of_casts(model / MODEL_FILE, folder / OPTIMISED_FILE, outcome)
        return profile

    step_bytes = count_arena(observe, outcome)
    if step_bytes is None:
        return
    # The weights that the runtime keeps: constants that it folded anew among them.
    weights_bytes = sum(path.stat().st_size for path in folder.glob(f"{OPTIMISED_FILE}*"))
    outcome.peak_allocated_bytes = weights_bytes + bound_bytes + step_bytes


def _check_room(model: Path, spec: Spec, outcome: Outcome) -> None:
    """What was measured shall not be lost to a second session, which writes its graph and so holds weights twice more.

    Raises:
        MeasureError: there is too little memory for it.
    """
    step_bytes = max((outcome.peak_resident_bytes or 0) - (outcome.baseline_bytes or 0), 0)
    room = psutil.virtual_memory().available
    if spec.memory_limit_bytes is not None:
        room = min(room, spec.memory_limit_bytes - resident_bytes())
    if room < step_bytes + 2 * model_bytes(model):
        raise MeasureError("too little memory is left for another session")


def _warn_of_casts(model: Path, optimised: Path, outcome: Outcome) -> None:
    from sslbench.bench.onnx.casts import added_casts  # noqa: PLC0415 - imports onnx, when memory has been measured

    added = added_casts(model, optimised)
    if added > 0:
        outcome.warnings.append(
            f"fp16: ONNX Runtime has no half-precision kernel for some operators here: {added} casts were put around "
            "them, which compute in fp32"
        )
