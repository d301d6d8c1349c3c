"""Which backend a machine has. Imports no torch."""

import importlib.util
import re
from pathlib import Path

from sslbench.bench.record import Backend
from sslbench.hardware_profiles.here import nvidia_card

MEASURED: tuple[Backend, ...] = ("torch-cuda", "torch-cpu", "onnx-cuda", "onnx-cpu")
"""Backends that can be measured; a record may also predict for others."""


def default_backend() -> Backend:
    """`torch-cuda` where NVML shows a card and the installed PyTorch has CUDA, else `torch-cpu`."""
    return "torch-cuda" if torch_has_cuda() and nvidia_card() is not None else "torch-cpu"


def torch_has_cuda() -> bool:
    """Whether the installed PyTorch was built with CUDA, from its version file; importing torch takes seconds."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=]*=\s*['\"]", text, re.MULTILINE) is not None
