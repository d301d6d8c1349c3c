"""The plugin in a project of its own, as pytest loads it from the installed package."""

import json
import os
import subprocess
import sys

import pytest

STEP = """
import torch

def build(device, width=64):
    layer = torch.nn.Linear(width, width, device=device)
    x = torch.ones(256, width, device=device)

    def step():
        layer(x).sum().backward()
        layer.zero_grad()

    return step
"""
TESTS = """
from my_step import build

def test_peak(traced_step):
    step = traced_step(build, width=256)
    assert 4 * 256 * 256 < step.peak_bytes("cuda") < 2**25  # most of it cuBLAS's workspaces, forward and backward
    assert step.peak_bytes("rtx-4090") == step.peak_bytes("cuda")
    assert step.flops("cuda") == traced_step("my_step.py:build", width=256).flops("cpu") > 0

def test_speed(measured_step):
    assert measured_step(build, backend="torch-cpu", width=32).seconds > 0
"""
LIGHT = """
import sys

def test_nothing_heavy_is_loaded():
    assert not {"torch", "numpy", "sslbench.bench.tested"} & sys.modules.keys()

def test_speed(measured_step):
    measured_step("my_step.py:build")
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "my_step.py").write_text(STEP)
    return tmp_path


def run_pytest(project, text, *options):
    (project / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    # pytest-benchmark times nothing in what looks like a worker of pytest-xdist.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_nothing_heavy_is_loaded_and_a_missing_package_is_one_line(project):
    done = run_pytest(project, LIGHT, *("-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:benchmark"))
    assert "1 passed, 1 error" in done.stdout
    assert "needs pytest-benchmark: pip install pytest-benchmark" in done.stdout


@pytest.mark.slow
def test_both_fixtures_and_pytest_benchmarks_file(project):
    done = run_pytest(project, TESTS, "--benchmark-json=times.json")
    assert done.returncode == 0, done.stdout
    (benchmark,) = json.loads((project / "times.json").read_text())["benchmarks"]
    extra = benchmark["extra_info"]
    assert extra["backend"] == "torch-cpu"
    assert extra["recipe"]["options"] == {"width": 32}
    assert {"peak_bytes", "joules_per_step", "environment"} <= extra.keys()
    assert "torch" in extra["environment"]["packages"]
