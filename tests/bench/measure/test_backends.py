import sys
from pathlib import Path

import pytest
import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure import backends
from sslbench.bench.measure.backends import MEASURED, default_backend, on_nvidia, on_processor, torch_has
from sslbench.bench.measure.devices import check_mps, check_xpu, device_of, precision_warnings
from sslbench.bench.onnx.providers import PROVIDERS


def write_torch(folder, line):
    package = folder / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('torch was imported')\n")
    (package / "version.py").write_text(f"from typing import Optional\n__version__ = '2.13.0'\n{line}\nrocm = None\n")


@pytest.mark.parametrize(
    ("line", "platform", "has"),
    [
        ("cuda: Optional[str] = '12.8'", "cuda", True),
        ('cuda = "13.0"', "cuda", True),
        ("cuda: Optional[str] = None", "cuda", False),
        ("cuda = None", "cuda", False),
        ("hip: Optional[str] = '7.1.25424'", "hip", True),
        ("hip: Optional[str] = '7.1.25424'", "cuda", False),
        ("xpu: Optional[str] = '20250300'", "xpu", True),
    ],
)
def test_the_version_file_tells_without_importing_torch(tmp_path, monkeypatch, line, platform, has):
    write_torch(tmp_path, line)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert torch_has(platform) is has


@pytest.mark.parametrize(
    ("built_for", "there", "backend"),
    [
        ("cuda", {"nvidia"}, "torch-cuda"),
        ("cuda", {"graphics"}, "torch-cpu"),
        ("", {"nvidia", "amd", "graphics"}, "torch-cpu"),
        ("hip", {"amd", "graphics"}, "torch-cuda"),
        ("hip", {"graphics"}, "torch-cpu"),
        ("xpu", {"graphics"}, "torch-xpu"),
        ("xpu", set(), "torch-cpu"),
        ("", {"mac"}, "torch-mps"),
    ],
)
def test_the_default_is_a_gpu_that_the_machine_and_torch_have(monkeypatch, tmp_path, built_for, there, backend):
    if "graphics" in there:
        (tmp_path / "renderD128").touch()
    monkeypatch.setattr(backends, "_GRAPHICS", tmp_path)
    monkeypatch.setattr(backends, "_AMD_DRIVER", tmp_path if "amd" in there else Path("/no/such/driver"))
    monkeypatch.setattr(backends, "torch_has", lambda platform: platform == built_for)
    monkeypatch.setattr(backends, "nvidia_card", lambda: object() if "nvidia" in there else None)
    monkeypatch.setattr(backends.sys, "platform", "darwin" if "mac" in there else "linux")
    monkeypatch.setattr(backends.platform, "machine", lambda: "arm64")
    assert default_backend() == backend


def test_the_processor_is_always_there():
    assert device_of("torch-cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.backends.mps.is_built(), reason="this PyTorch has MPS")
def test_a_pytorch_without_mps_says_how_to_get_it():
    with pytest.raises(MeasureError, match=r"torch-mps: .* has no MPS: it is for Macs.*or use --backend torch-cpu"):
        check_mps()


@pytest.mark.skipif(torch.version.xpu is not None, reason="this PyTorch has XPU")
def test_a_pytorch_without_xpu_says_how_to_get_it():
    with pytest.raises(MeasureError, match=r"has no XPU: pip install torch --index-url .*/whl/xpu, or use --backend"):
        check_xpu()


BF16 = "bf16 runs in software here: this processor has no AVX512-BF16 or AMX-BF16 instructions"
FP16 = "fp16 runs in software here: this processor has no AVX512-FP16 or AMX-FP16 instructions"


@pytest.mark.parametrize(
    ("precision", "capabilities", "warnings"),
    [
        ("fp32", {}, []),
        ("bf16", {}, [BF16]),
        ("bf16", {"avx512_bf16": True}, []),
        ("bf16", {"amx_bf16": True}, []),
        ("bf16", {"architecture": "aarch64"}, []),
        ("fp16", {"avx512_bf16": True}, [FP16]),
    ],
)
def test_a_processor_without_the_types_instructions_is_named(monkeypatch, precision, capabilities, warnings):
    every = {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False, **capabilities}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: every, raising=False)
    assert precision_warnings(torch.device("cpu"), precision) == warnings


def test_every_backend_of_onnx_runtime_has_a_provider():
    assert {backend for backend in MEASURED if backend.startswith("onnx")} == set(PROVIDERS)


def test_the_machine_that_computes_is_known():
    assert [backend for backend in MEASURED if on_processor(backend)] == ["torch-cpu", "onnx-cpu", "onnx-openvino"]
    assert [backend for backend in MEASURED if on_nvidia(backend)] == ["torch-cuda", "onnx-cuda", "onnx-tensorrt"]
    assert not any(PROVIDERS[backend].device == "cuda" for backend in PROVIDERS if not on_nvidia(backend))
