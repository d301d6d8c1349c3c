"""Which backend a machine has. Imports no torch."""

import importlib.util
import platform
import re
import sys
from pathlib import Path
from typing import get_args

from sslbench.bench.quantities import Backend
from sslbench.hardware_profiles.here import nvidia_card

MEASURED: tuple[Backend, ...] = get_args(Backend)
"""Backends that can be measured."""

_HOST = ("torch-cpu", "onnx-cpu", "onnx-openvino")
_NVIDIA = ("torch-cuda", "onnx-cuda", "onnx-tensorrt")

_AMD_DRIVER = Path("/dev/kfd")
_GRAPHICS = Path("/dev/dri")


def default_backend() -> Backend:
    """The first GPU that both the machine and the installed PyTorch have, else `torch-cpu`.

    `torch-cuda`: NVML shows a card and PyTorch has CUDA, or AMD's driver is there and PyTorch has ROCm. `torch-xpu`: a
    graphics device, and PyTorch's build for Intel GPUs. `torch-mps`: a Mac with Apple silicon.
    """
    if torch_has("cuda") and nvidia_card() is not None:
        return "torch-cuda"
    if has_rocm() and _AMD_DRIVER.exists():
        return "torch-cuda"
    if torch_has("xpu") and (sys.platform == "win32" or any(_GRAPHICS.glob("renderD*"))):
        return "torch-xpu"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "torch-mps"
    return "torch-cpu"


def on_processor(backend: str) -> bool:
    """Whether the processor computes the step, in memory that resident sizes show."""
    return backend in _HOST


def on_nvidia(backend: str) -> bool:
    """Whether an NVIDIA GPU computes it, unless PyTorch's `cuda` is AMD's."""
    return backend in _NVIDIA


def has_rocm() -> bool:
    """Whether `torch-cuda` is AMD's ROCm here, which NVML knows nothing of."""
    return torch_has("hip")


def torch_has(platform_: str) -> bool:
    """Whether the installed PyTorch was built for a platform, from its version file; importing torch takes seconds.

    Args:
        platform_: `cuda`, `hip` or `xpu`, as `torch.version` names them.
    """
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return False
    try:
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(rf"^{platform_}\b[^=]*=\s*['\"]", text, re.MULTILINE) is not None
