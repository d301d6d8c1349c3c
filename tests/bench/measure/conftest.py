"""Steps that a person might write, well and badly, and what measures them."""

import os
import textwrap
from pathlib import Path

import psutil
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
    yield
    assert psutil.Process(os.getpid()).children(recursive=True) == []


@pytest.fixture
def child_pid_file(tmp_path, monkeypatch) -> Path:
    """A file for the process id of something that a step starts; its path is in CHILD_PID_FILE."""
    path = tmp_path / "child.pid"
    monkeypatch.setenv("CHILD_PID_FILE", str(path))
    return path
