"""A worker ends with its parent at every stage, whatever it is in the middle of, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

# What runs in the background of a shell without job control ignores Ctrl-C, and so would its children.
HEEDING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
RUN = [
    *(sys.executable, "-P", "-c", HEEDING + "from sslbench.bench.cli import run; run()", "profile"),
    *("--steps", "5", "--warmup", "2"),  # or it goes on for a minute until the times of a busy machine are known
]
STEP = """
import ctypes, os, subprocess, sys
import torch
from sslbench.bench.measure.reporter import Reporter

STAGE = os.environ["STAGE"]
tell = Reporter.phase

def hang():
    apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    with open(os.environ["CHILD_PID_FILE"], "w") as file:
        file.write(f"{os.getpid()} {apart.pid}\\n")
    ctypes.PyDLL(None).sleep(600)  # holds Python's lock: no thread of the worker can do anything

def phase(reporter, name):
    tell(reporter, name)
    if name == STAGE:
        hang()

Reporter.phase = phase
if STAGE == "import":
    hang()

def build(device):
    return lambda: torch.ones(1)
"""


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # whose init has not collected it yet
    except psutil.NoSuchProcess:
        return True


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    "stage",
    [
        "build",
        "timed steps",
        *(pytest.param(stage, marks=pytest.mark.slow) for stage in ("import", "warm-up", "memory pass")),
    ],
)
def test_a_killed_parent_takes_the_worker_with_it(tmp_path, child_pid_file, stage):
    (tmp_path / "my_step.py").write_text(STEP)
    parent = subprocess.Popen([*RUN, f"{tmp_path}/my_step.py:build"], env={**os.environ, "STAGE": stage})
    wait_for(lambda: child_pid_file.exists() and child_pid_file.read_text().endswith("\n"))
    parent.kill()
    parent.wait()
    wait_for(lambda: all(gone(int(pid)) for pid in child_pid_file.read_text().split()))


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_an_interrupted_measurement_leaves_no_process_and_no_folder(tmp_path, number):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    parent = subprocess.Popen(
        [*RUN, "bert-mini-mlm", "--stage", "infer", "--backend", "onnx-cpu"],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    itself = psutil.Process(parent.pid)
    wait_for(lambda: list(temporary.glob("sslbench-*")) and len(itself.children()) == 2)  # a worker and its guardian
    started = itself.children(recursive=True)
    parent.send_signal(number)
    _, said = parent.communicate()
    if number != signal.SIGKILL:
        assert (parent.returncode, said.strip()) == (2, b"sslbench: interrupted")
    wait_for(lambda: all(gone(process.pid) for process in started) and not list(temporary.glob("sslbench-*")))
