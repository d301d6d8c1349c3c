"""Sessions of ONNX Runtime with the options of `--onnx`. Imports no torch."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime  # type: ignore[import-untyped]  # ships no types
import psutil

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.providers import PROVIDERS, provider_options
from sslbench.bench.onnx.settings import Value

_LEVELS = onnxruntime.GraphOptimizationLevel
_GRAPH = {
    "all": _LEVELS.ORT_ENABLE_ALL,
    "extended": _LEVELS.ORT_ENABLE_EXTENDED,
    "basic": _LEVELS.ORT_ENABLE_BASIC,
    "off": _LEVELS.ORT_DISABLE_ALL,
}
_EXECUTION = {
    "sequential": onnxruntime.ExecutionMode.ORT_SEQUENTIAL,
    "parallel": onnxruntime.ExecutionMode.ORT_PARALLEL,
}
_SPINNING = ("session.intra_op.allow_spinning", "session.inter_op.allow_spinning")
_ERRORS_ONLY = 3


def thread_count() -> int:
    """Threads that a session computes with: OMP_NUM_THREADS, else the physical cores (ONNX Runtime's own default)."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else psutil.cpu_count(logical=False) or 1


def effective(settings: Mapping[str, Any]) -> dict[str, Value]:
    """Every option of a session: what was set, and ONNX Runtime's own choice for the rest."""
    own: dict[str, Value] = {
        "graph": "all",
        "execution": "sequential",
        "threads": thread_count(),
        "inter_threads": 1,
        "arena": True,
        "memory_pattern": True,
        "spinning": True,
    }
    return own | {key: value for key, value in settings.items() if key in own}


def session_options(settings: Mapping[str, Any]) -> Any:
    """Options of a session, as ONNX Runtime takes them."""
    chosen = effective(settings)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.graph_optimization_level = _GRAPH[str(chosen["graph"])]
    options.execution_mode = _EXECUTION[str(chosen["execution"])]
    options.intra_op_num_threads = chosen["threads"]
    options.inter_op_num_threads = chosen["inter_threads"]
    options.enable_cpu_mem_arena = chosen["arena"]
    options.enable_mem_pattern = chosen["memory_pattern"]
    for entry in _SPINNING:
        options.add_session_config_entry(entry, "1" if chosen["spinning"] else "0")
    return options


def open_session(path: Path, backend: str, options: Any, *, precision: str = "fp32") -> Any:
    """A session of a model on the backend's provider.

    Args:
        path: of the model.
        backend: a key of `PROVIDERS`.
        options: of `session_options`.
        precision: of the recipe; `tf32` lets an NVIDIA GPU round fp32 products.

    Raises:
        MeasureError: the runtime has no kernel for an operator of the model, or fell back to another provider.
    """
    provider = PROVIDERS[backend].name
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=[provider], provider_options=[provider_options(backend, precision)]
        )
    except Exception as error:  # the runtime's exceptions share no public base class
        raise MeasureError(f"{backend}: ONNX Runtime cannot load the exported model: {error}") from error
    if session.get_providers()[0] != provider:
        raise MeasureError(f"{backend}: {provider} could not start (are its libraries, such as CUDA's, installed?)")
    return session
