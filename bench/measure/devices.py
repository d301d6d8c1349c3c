"""The devices that torch computes on: what a backend needs, and what its allocator tells. Part of the worker."""

import os
from collections.abc import Mapping
from typing import Any

import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.messages import Outcome

_ELSE = "or use --backend torch-cpu"
_NATIVE = {"bf16": ("avx512_bf16", "amx_bf16"), "fp16": ("avx512_fp16", "amx_fp16")}
"""Instructions of x86 that multiply in a type; without them oneDNN converts to fp32 and back."""


def device_of(backend: str) -> torch.device:
    """The device of a torch backend: of several the first visible one.

    Raises:
        MeasureError: torch cannot use such a device here; says what is missing and how to get it.
    """
    if backend == "torch-cpu":
        return torch.device("cpu")
    kind = backend.removeprefix("torch-")
    {"cuda": check_cuda, "mps": check_mps, "xpu": check_xpu}[kind]()
    return torch.device(kind, 0)


def check_cuda() -> None:
    """Check that torch can use an NVIDIA GPU, or with a ROCm build an AMD GPU.

    Raises:
        MeasureError: it cannot.
    """
    if torch.cuda.is_available():
        return
    build: Any = torch.version.cuda or torch.version.hip
    if build is None:
        raise MeasureError(
            f"torch-cuda: the installed PyTorch {torch.__version__} has no CUDA: install a CUDA build, or on AMD a "
            f"ROCm build (pytorch.org/get-started/locally), {_ELSE}"
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    tool = "rocm-smi" if torch.version.hip else "nvidia-smi"
    hint = f"CUDA_VISIBLE_DEVICES is {visible!r}" if visible is not None else f"does {tool} list a GPU?"
    raise MeasureError(f"torch-cuda: PyTorch {torch.__version__} finds no GPU it can use ({hint})")


def check_mps() -> None:
    """Check that torch can use the GPU of a Mac.

    Raises:
        MeasureError: it cannot.
    """
    if not torch.backends.mps.is_built():
        raise MeasureError(
            f"torch-mps: the installed PyTorch {torch.__version__} has no MPS: it is for Macs, in PyTorch's build for "
            f"macOS (pip install torch), {_ELSE}"
        )
    if not torch.backends.mps.is_available():
        raise MeasureError(f"torch-mps: this Mac has no GPU that Metal can compute on, or needs macOS 14, {_ELSE}")


def check_xpu() -> None:
    """Check that torch can use an Intel GPU.

    Raises:
        MeasureError: it cannot.
    """
    if torch.version.xpu is None:
        raise MeasureError(
            f"torch-xpu: the installed PyTorch {torch.__version__} has no XPU: pip install torch --index-url "
            f"https://download.pytorch.org/whl/xpu, {_ELSE}"
        )
    if not torch.xpu.is_available():
        raise MeasureError(
            f"torch-xpu: PyTorch {torch.__version__} finds no Intel GPU it can use: does clinfo list one? {_ELSE}"
        )


def reset_peaks(device: torch.device) -> None:
    """Forget the allocator's peaks so far, where it keeps any."""
    if device.type in ("cuda", "xpu"):
        torch.accelerator.reset_peak_memory_stats(device)


def read_peaks(device: torch.device, outcome: Outcome) -> None:
    """Put what the accelerator's allocator tells into the outcome, and why the rest is not known."""
    torch.accelerator.synchronize(device)
    if device.type in ("cuda", "xpu"):
        outcome.peak_allocated_bytes = torch.accelerator.max_memory_allocated(device)
        outcome.peak_reserved_bytes = torch.accelerator.max_memory_reserved(device)
        return
    # Metal's allocator keeps what it has reserved, so that this is its peak, too.
    outcome.peak_reserved_bytes = torch.mps.driver_allocated_memory()
    outcome.unknown["memory.peak_allocated_bytes"] = "torch keeps no peak of what tensors hold on MPS"


def precision_warnings(device: torch.device, precision: str) -> list[str]:
    """A warning where an x86 processor has no instructions for the type that it computes in."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if device.type != "cpu" or precision not in _NATIVE or capabilities.get("architecture") not in ("x86_64", "AMD64"):
        return []
    if any(capabilities.get(name) for name in _NATIVE[precision]):
        return []
    names = " or ".join(name.upper().replace("_", "-") for name in _NATIVE[precision])
    return [f"{precision} runs in software here: this processor has no {names} instructions"]
