"""ONNX Runtime's execution providers, by the names of our backends. Imports no torch."""

from dataclasses import dataclass, field
from typing import Literal

import onnxruntime  # type: ignore[import-untyped]  # ships no types

from sslbench.bench.errors import MeasureError


@dataclass(frozen=True, slots=True)
class Provider:
    """One execution provider."""

    name: str
    """ONNX Runtime's own name for it."""
    package: str
    """The PyPI package that has it; https://onnxruntime.ai/docs/install names them."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where its inputs and outputs lie: those that take no memory of their device from Python have them on the host."""
    options: dict[str, str] = field(default_factory=dict)


_GPU = "onnxruntime-gpu"
PROVIDERS = {
    "onnx-cpu": Provider("CPUExecutionProvider", "onnxruntime"),
    "onnx-cuda": Provider("CUDAExecutionProvider", _GPU, "cuda"),
    "onnx-tensorrt": Provider("TensorrtExecutionProvider", _GPU, "cuda"),
    # Its build for PyPI knows the GPU, too; which of them computes shall not depend on the machine.
    "onnx-openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-openvino", options={"device_type": "CPU"}),
    "onnx-coreml": Provider("CoreMLExecutionProvider", "onnxruntime (on macOS)"),
    "onnx-directml": Provider("DmlExecutionProvider", "onnxruntime-directml"),
    "onnx-migraphx": Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
    "onnx-rocm": Provider("ROCMExecutionProvider", "onnxruntime-rocm"),
    "onnx-qnn": Provider("QNNExecutionProvider", "onnxruntime-qnn"),
}
"""By backend."""


def check_provider(backend: str) -> None:
    """Check that the installed ONNX Runtime has the backend's execution provider.

    Raises:
        MeasureError: it has not; says what is installed and what to install.
    """
    provider, available = PROVIDERS[backend], onnxruntime.get_available_providers()
    if provider.name not in available:
        raise MeasureError(
            f"{backend}: onnxruntime {onnxruntime.__version__} has no {provider.name} (it has "
            f"{', '.join(available)}): pip uninstall onnxruntime, then pip install {provider.package}"
        )


def provider_options(backend: str, precision: str) -> dict[str, str]:
    """Options of the backend's provider; NVIDIA's would otherwise compute fp32 products in TF32."""
    options = dict(PROVIDERS[backend].options)
    if backend == "onnx-cuda":
        options["use_tf32"] = "1" if precision == "tf32" else "0"
    return options
