"""The command as a person runs it: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sslbench.bench.record import load_records

MAIN = [sys.executable, "-P", "-c", "from sslbench.bench.cli import main; main()"]

STEP = """
import os, time
from pathlib import Path
import torch

def build(device, batch_size=4, seconds=0.0):
    layer = torch.nn.Linear(8, 8, device=device)

    def step():
        Path(__file__).with_name("started").touch()
        layer(torch.ones(batch_size, 8, device=device)).sum().backward()
        time.sleep(seconds)

    return step
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "my_step.py").write_text(STEP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return subprocess.run([*MAIN, "profile", *arguments], capture_output=True, text=True, check=False)


def test_the_record_is_printed_and_written(folder):
    asked = ["my_step.py:build", "--set", "seconds=0.001", "--backend", "torch-cpu", "--steps", "5"]
    done = run(*asked, "--format=json", "-o", "r.json")
    assert done.returncode == 0
    assert done.stderr == ""  # no bar in a pipe
    record = json.loads(done.stdout)
    assert json.loads((folder / "r.json").read_text()) == record
    assert record["kind"] == "measurement"
    assert record["command"] == ["profile", *asked]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["my_step.py:build", "-o", "nowhere/r.json"], "nowhere/r.json: cannot be written"),
        (["my_step.py:build", "--steps", "0"], "--steps: at least 1, got 0"),
        (["my_other_step.py:build"], "my_other_step.py: no such file"),
        (["bert-mini-mlm", "--batch-size", "0"], "batch_size"),
        (["bert-mini-mlm", "--batch-size", "8,big"], "'big' is not a valid integer"),
        (["my_step.py:build", "--resume"], "--resume goes with -o"),
        (["my_step.py:build", "--resume", "-o", "my_step.py"], "my_step.py: is not JSON"),
        (["my_step.py:build", "--batch-size", "1,2", "--memory-snapshot", "s"], "--memory-snapshot goes with one"),
        (["--matrix", "my_step.py"], "my_step.py: is not TOML"),
    ],
)
def test_bad_input_is_one_line(folder, arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def interrupted(folder, *arguments, begun):
    """Sends Ctrl-C as soon as `begun` says so: exit code, what was printed, and the workers that ran then."""
    # Where the tests themselves run in the background, Ctrl-C is ignored, and a child inherits that.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    with subprocess.Popen(
        [*MAIN[:-1], heeding + MAIN[-1], "profile", "my_step.py:build", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not begun():
            assert process.poll() is None
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGINT)
        output, errors = process.communicate()
    return process.returncode, output, errors, workers


def test_ctrl_c_leaves_no_worker_and_no_file(folder):
    code, output, errors, workers = interrupted(
        folder, "--set", "seconds=600", "-o", "r.json", begun=(folder / "started").exists
    )
    assert code == 2
    assert output == ""
    assert errors.strip() == "sslbench: interrupted"
    assert workers
    assert not any(worker.is_running() for worker in workers)
    assert {path.name for path in folder.iterdir()} <= {"my_step.py", "started", "__pycache__"}


@pytest.mark.slow
def test_a_sweep_that_is_interrupted_keeps_its_records_and_is_resumed(folder):
    asked = ["--backend", "torch-cpu", "--warmup", "2", "--steps", "1", "-o", "r.jsonl"]

    def second_runs():
        if not (folder / "r.jsonl").exists():
            (folder / "started").unlink(missing_ok=True)
        return (folder / "r.jsonl").exists() and (folder / "started").exists()

    code, output, errors, workers = interrupted(folder, "--set", "seconds=0,600", *asked, begun=second_runs)
    assert code == 2
    assert "my_step:build" in output  # what was measured is told
    assert errors.splitlines()[-1] == (
        "sslbench: interrupted: 1 of 2; r.jsonl has 1: the same command with --resume measures the rest"
    )
    assert not any(worker.is_running() for worker in workers)
    (before,) = load_records(folder / "r.jsonl")
    done = run("my_step.py:build", "--set", "seconds=0,0.001", *asked, "--resume")
    assert (done.returncode, load_records(folder / "r.jsonl")[0]) == (0, before)
    assert [record.recipe.options for record in load_records(folder / "r.jsonl")] == [
        {"seconds": 0},
        {"seconds": 0.001},
    ]
    first, second, last = done.stderr.splitlines()
    assert first == "r.jsonl: has 1 of 2 already"
    assert second.startswith("[2/2] seconds 0.001: ")
    assert last == "records: r.jsonl"


def test_what_runs_out_of_memory_is_a_record_and_exit_code_1(folder):
    done = run("my_step.py:build", "--backend", "torch-cpu", "--memory-limit", "20MiB", "-o", "r.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("sslbench: the worker held ")
    (record,) = load_records(folder / "r.json")
    assert record.failure.kind == "out-of-memory"
    assert record.command[1:] == ["my_step.py:build", "--backend", "torch-cpu", "--memory-limit", str(20 * 2**20)]


@pytest.mark.slow
def test_a_sweep_goes_on_after_what_cannot_run(folder):
    done = run("my_step.py:build", "--backend", "onnx-cpu,torch-cpu", "--steps", "1", "--warmup", "2", "--format=json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["backend"] == "torch-cpu"
    lines = done.stderr.splitlines()
    assert lines[0].startswith("[1/2] onnx-cpu: could not run")
    assert lines[1].startswith("[2/2] torch-cpu: ")
    assert lines[2].startswith("sslbench: onnx-cpu: onnx-cpu ")


def test_the_command_imports_no_torch():
    code = (
        "import sys; from sslbench.bench.commands import profile;"
        "sys.exit(bool({'torch', 'transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "nowhere"], "Directory 'nowhere' does not exist"),
        (["--images", "my_step.py"], "Directory 'my_step.py' is a file"),
        (["--text", "nowhere"], "Path 'nowhere' does not exist"),
        (["--images", ".", "--text", "."], "--images and --text: a step takes one of them"),
        (["--workers", "2"], "--workers goes with --images or --text"),
        (["--images", ".", "--tokenizer", "my_step.py"], "--tokenizer goes with --text"),
        (["--images", ".", "--workers", "-1"], "--workers: at least 0, got -1"),
    ],
)
def test_files_that_cannot_feed_a_step_are_one_line(folder, arguments, message):
    done = run("simclr-resnet18", "--backend", "torch-cpu", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_an_empty_folder_is_named(folder):
    (folder / "empty").mkdir()
    done = run("simclr-resnet18", "--backend", "torch-cpu", "--images", "empty")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sslbench: --images empty: holds no image: expected .bmp, ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_answer_says_what_the_limit_is(folder):
    (folder / "a.txt").write_text("all work and no play makes Jack a dull boy\n" * 50)
    done = run(
        *("bert-mini-mlm", "--backend", "torch-cpu", "--text", "a.txt", "--workers", "0", "--seq-len", "16"),
        *("--steps", "2", "--warmup", "2", "-o", "r.json"),
    )
    assert done.returncode == 0
    assert "sequences/s with no worker of its own: the " in done.stdout
    record = json.loads((folder / "r.json").read_text())
    assert {"--text", "a.txt", "--workers", "0"} <= set(record["command"])
    assert record["data"]["source"] == "a.txt"
