"""Steps that a person might write, well and badly, and what measures them."""

import ctypes
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pynvml
import pytest

from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.resolve import resolve_recipe

HEAD = """
import os, signal, subprocess, sys, time
import torch

def build(device, batch_size=8, width=64):
    layer = torch.nn.Linear(width, width, device=device)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x = torch.randn(batch_size, width, device=device)
    calls = []

    def step():
        calls.append(None)
"""
TAIL = """
        layer(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
"""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def write_step(tmp_path):
    """Writes a training step of one linear layer that begins with the given lines; returns `file.py:build`."""

    def write(lines: str = "pass") -> str:
        path = tmp_path / "my_step.py"
        path.write_text(HEAD + textwrap.indent(textwrap.dedent(lines).strip(), " " * 8) + TAIL)
        return f"{path}:build"

    return write


@pytest.fixture
def run_step(write_step):
    """Measures the step that begins with the given lines."""

    def run(lines: str = "pass", *, budget: dict[str, float] | None = None, **options):
        recipe = resolve_recipe(write_step(lines), {})
        asked = Budget(**{"steps": 6, "warmup": 3, **(budget or {})})
        return measure(recipe, **{"backend": "torch-cpu", "budget": asked, "command": [], "predict": False, **options})

    return run


@pytest.fixture(autouse=True)
def _nothing_left_alive():
    here = psutil.Process(os.getpid())
    before = here.children()  # the browser of other tests
    yield
    new = [child for child in here.children() if child not in before]
    left = [process for child in new for process in (child, *child.children(recursive=True))]
    for process in left:
        process.kill()  # or every later test would find it, too
    assert left == []


@pytest.fixture
def child_pid_file(tmp_path, monkeypatch) -> Path:
    """A file for the process id of something that a step starts; its path is in CHILD_PID_FILE."""
    path = tmp_path / "child.pid"
    monkeypatch.setenv("CHILD_PID_FILE", str(path))
    return path


class NvmlStandIn:
    """The one GPU of nvml_stand_in/nvml.c, which says what its lines mean; healthy and idle at first."""

    def __init__(self, path):
        self._path = path
        self._numbers = {"total": 2**40, "used": 2**30, "temperature": 41, "graphics_mhz": 1980, "memory_mhz": 3201}
        self._numbers |= {"power_mw": 300_000, "limit_mw": 700_000}
        self._lines = []
        self.set()

    def set(self, *lines, **numbers):
        """Adds lines and replaces numbers."""
        self._lines += lines
        self._numbers |= numbers
        whole = [*self._lines, *(f"{name} {number}" for name, number in self._numbers.items())]
        fresh = self._path.with_suffix(".new")
        fresh.write_text("\n".join(whole) + "\n")
        fresh.replace(self._path)  # the library may be reading

    def fail(self, error, function="*"):
        """From now on the function, or any, ends with that error."""
        self.set(f"error {function} {error}")


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory):
    """Folder of a libnvidia-ml.so.1 that is built from nvml_stand_in/nvml.c."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("the stand-in for NVML needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).with_name("nvml_stand_in") / "nvml.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return folder


@pytest.fixture
def nvml(nvml_library, tmp_path, monkeypatch):
    """A GPU that pynvml talks to, here and in workers."""
    stand_in = NvmlStandIn(tmp_path / "gpu.txt")
    monkeypatch.setenv("NVML_STAND_IN", str(tmp_path / "gpu.txt"))
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join([str(nvml_library), os.environ.get("LD_LIBRARY_PATH", "")]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(nvml_library / "libnvidia-ml.so.1")))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return stand_in
