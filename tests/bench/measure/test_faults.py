"""Real workers that fail in every way and at every stage: each becomes a record, and nothing of it stays behind."""

import re
import resource
import textwrap

import psutil
import pytest

from sslbench.bench.errors import OutputError
from sslbench.bench.files import write_atomically
from sslbench.bench.measure.attempt import attempt
from sslbench.bench.measure.budget import Budget
from sslbench.bench.record import dump_records, load_records
from sslbench.bench.resolve import resolve_recipe

STEP = """
import ctypes, os, resource, signal, subprocess, sys, time
import torch
from sslbench.bench.measure.reporter import Reporter

STAGE = os.environ["FAULT_STAGE"]
tell = Reporter.phase

def fault(reporter):
{fault}

def phase(reporter, name):
    tell(reporter, name)
    if name == STAGE:
        fault(reporter)

Reporter.phase = phase
if STAGE == "import":
    fault(None)

def build(device, batch_size=4):
    layer = torch.nn.Linear(8, 8)
    def step():
        layer(torch.ones(batch_size, 8)).sum().backward()
    return step
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
SEGFAULT = "ctypes.string_at(0)"
LEAVE = "print('farewell', flush=True); os._exit(7)"
STARVE = """
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**24, -1))
list(iter(lambda: torch.ones(2**18), None))
"""
GARBAGE = "reporter._channel.write(b'\\x00\\xff no event\\n'); reporter._channel.flush(); time.sleep(60)"
CUT_SHORT = 'reporter._channel.write(b\'{"event": "result", "outco\'); reporter._channel.flush(); os._exit(0)'
FORGED = "reporter._write({'event': 'result', 'outcome': {'samples_seconds': 'many'}}); time.sleep(60)"
CLOSED = "os.close(reporter._channel.fileno()); time.sleep(60)"
GROW = "held = []\nwhile True: held.append(b'x' * 2**24); time.sleep(0.01)"
GROW_APART = f"subprocess.run([sys.executable, '-c', {'import time' + chr(10) + GROW!r}])"
HANG = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open(os.environ["CHILD_PID_FILE"], "w").write(str(child.pid))
time.sleep(600)
"""
MIB = 2**20


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # whose init has not collected it yet
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def attempt_fault(tmp_path, monkeypatch):
    """Measures a small step in whose worker the given lines run when the stage begins."""

    def run(fault: str, stage: str, *, timeout: float = 100, **options):
        path = tmp_path / "my_step.py"
        path.write_text(STEP.format(fault=textwrap.indent(fault.strip(), "    ")))
        monkeypatch.setenv("FAULT_STAGE", stage)
        budget = Budget(steps=2, warmup=2, timeout=timeout)
        recipe = resolve_recipe(f"{path}:build", {})
        return attempt(recipe, backend="torch-cpu", budget=budget, command=[], predict=False, **options)

    return run


@pytest.mark.parametrize(
    ("fault", "stage", "kind", "message"),
    [
        (KILL, "import", "killed", r"killed \(SIGKILL\) in phase 'import': by whom is not known"),
        (
            SEGFAULT,
            "build",
            "crashed",
            r"crashed \(SIGSEGV\) in phase 'build', in native code, called from .*my_step\.py",
        ),
        (LEAVE, "warm-up", "crashed", r"ended with exit status 7 in phase 'warm-up'.*its last output: farewell"),
        pytest.param(
            KILL,
            "timed steps",
            "killed",
            r"\(SIGKILL\) in phase 'timed steps' \(about \d steps done\)",
            marks=pytest.mark.slow,
        ),
        pytest.param(SEGFAULT, "memory pass", "crashed", r"\(SIGSEGV\) in phase 'memory pass'", marks=pytest.mark.slow),
        pytest.param(KILL, "phase pass", "killed", r"\(SIGKILL\) in phase 'phase pass'", marks=pytest.mark.slow),
        pytest.param(KILL, "tensor count", "killed", r"\(SIGKILL\) in phase 'tensor count'", marks=pytest.mark.slow),
        pytest.param(
            "os.abort()", "import", "crashed", r"crashed \(SIGABRT\) in phase 'import'", marks=pytest.mark.slow
        ),
        (STARVE, "build", "out-of-memory", r"out of memory in phase 'build': lower --batch-size"),
        pytest.param(
            GARBAGE,
            "warm-up",
            "crashed",
            r"channel carried something else than its messages in phase 'warm-up'",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            CUT_SHORT,
            "timed steps",
            "crashed",
            r"exit status 0 in phase 'timed steps'.*, without an answer",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            FORGED,
            "memory pass",
            "crashed",
            r"channel carried something else than its messages in phase 'memory pass'",
            marks=pytest.mark.slow,
        ),
        (CLOSED, "build", "crashed", r"closed its channel in phase 'build' but runs on; it was killed"),
        pytest.param(
            "raise SystemExit(3)", "warm-up", "raised", r"my_step\.py:\d+: SystemExit: 3", marks=pytest.mark.slow
        ),
    ],
)
def test_a_fault_at_a_stage_is_recorded(attempt_fault, fault, stage, kind, message):
    record = attempt_fault(fault, stage)
    assert (record.failure.kind, record.failure.phase) == (kind, stage)
    assert re.search(message, record.failure.message), record.failure.message


@pytest.mark.parametrize("fault", [GROW, pytest.param(GROW_APART, marks=pytest.mark.slow)])
def test_a_worker_above_its_limit_is_ended_with_what_it_started(attempt_fault, fault):
    failure = attempt_fault(fault, "warm-up", memory_limit_bytes=1024 * MIB).failure
    assert failure.kind == "out-of-memory"
    found = re.match(r"the worker held (.*) GiB, more than its limit of 1.00 GiB in phase 'warm-up'", failure.message)
    assert 1 <= float(found[1]) < 8


@pytest.mark.slow
def test_a_worker_below_its_limit_runs(attempt_fault):
    record = attempt_fault("pass", "warm-up", memory_limit_bytes=4096 * MIB)
    assert record.failure is None
    assert record.time.samples_seconds


@pytest.mark.slow
def test_a_hang_is_ended_with_its_place_and_with_what_it_started(attempt_fault, child_pid_file):
    failure = attempt_fault(HANG, "build", timeout=20).failure
    assert (failure.kind, failure.phase) == ("timed-out", "build")
    assert re.search(r"no result after 20 s, in phase 'build', at my_step\.py:\d+ in fault", failure.message)
    assert gone(int(child_pid_file.read_text()))


@pytest.mark.parametrize(
    "hang", ["print('noise', flush=True); time.sleep(600)", "os.kill(os.getpid(), signal.SIGSTOP)"]
)
@pytest.mark.slow
def test_a_worker_that_hangs_before_it_reads_its_task(attempt_fault, tmp_path, monkeypatch, hang):
    (tmp_path / "sitecustomize.py").write_text(f"import os, signal, time; {hang}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failure = attempt_fault("pass", "never", timeout=3).failure
    assert (failure.kind, failure.phase) == ("timed-out", "start")
    assert failure.message.startswith("no result after 3 s, in phase 'start': raise --timeout")


@pytest.mark.slow
def test_a_worker_that_cannot_begin(attempt_fault, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b'no such library'); os._exit(127)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failure = attempt_fault("pass", "never").failure
    assert (failure.kind, failure.phase) == ("crashed", "start")
    assert "exit status 127 in phase 'start', without an answer; its last output: no such library" in failure.message


@pytest.fixture
def full_disk():
    """No file of this process, or of a worker, can grow above 1 MiB: what a full disk does, with another errno."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.slow
def test_a_full_temporary_folder_is_named(attempt_fault):
    failure = attempt_fault("for _ in range(200): print('x' * 2**14, flush=True)", "warm-up").failure
    assert failure.kind == "raised"
    assert failure.message.startswith("the disk is full in phase 'warm-up'")
    assert "set TMPDIR" in failure.message


@pytest.mark.slow
@pytest.mark.usefixtures("full_disk")
def test_finished_records_outlive_failures_and_a_full_disk(attempt_fault, tmp_path):
    path = tmp_path / "records.json"
    finished = []
    for fault in ("pass", KILL):
        finished.append(attempt_fault(fault, "warm-up"))
        write_atomically(path, dump_records(finished))
    with pytest.raises(OutputError, match=r"records\.json: cannot be written: File too large"):
        write_atomically(path, dump_records(finished * 1000))
    assert load_records(path) == finished
    assert [file.name for file in tmp_path.iterdir() if "records" in file.name] == ["records.json"]
