"""Real workers: what goes wrong in a step comes back as one line, and nothing stays alive."""

import os
import re
import subprocess
import sys
import time

import psutil
import pytest

from sslbench.bench.errors import MeasureError, RecipeError
from sslbench.bench.measure.messages import Spec
from sslbench.bench.measure.process import worker_environment
from sslbench.bench.measure.reporter import place_of
from sslbench.bench.resolve import resolve_recipe


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # whose init has not collected it yet
    except psutil.NoSuchProcess:
        return True


def test_a_step_that_raises_names_its_line(run_step):
    with pytest.raises(RecipeError, match=r"my_step\.py:13: ValueError: no such token 7$"):
        run_step("if len(calls) == 2: raise ValueError('no such\\ntoken 7')")


def test_a_step_that_is_killed_is_out_of_memory(run_step):
    with pytest.raises(MeasureError, match=r"\(SIGKILL\) in phase 'warm-up'.*ran out of memory: lower --batch-size"):
        run_step("os.kill(os.getpid(), signal.SIGKILL)")


def test_a_native_crash_quotes_the_last_output(run_step):
    with pytest.raises(MeasureError, match=r"crashed \(SIGSEGV\).*in native code; its last output: .*my_step\.py"):
        run_step("os.kill(os.getpid(), signal.SIGSEGV)")


def test_a_step_that_leaves_without_a_word(run_step):
    with pytest.raises(MeasureError, match=r"ended with exit status 7 in phase 'warm-up'.*last output: farewell"):
        run_step("print('farewell', flush=True); os._exit(7)")


def test_more_memory_than_there_is(run_step):
    with pytest.raises(MeasureError, match="out of memory in phase 'warm-up': lower --batch-size"):
        run_step("torch.empty(2**60)")


def test_a_hang_is_killed_with_all_that_it_started(run_step, child_pid_file):
    started = time.monotonic()
    with pytest.raises(MeasureError, match=r"no result after 5 s, in phase 'warm-up' .*raise --timeout"):
        run_step(
            """
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            open(os.environ["CHILD_PID_FILE"], "w").write(str(child.pid))
            time.sleep(600)
            """,
            budget={"timeout": 5},
        )
    assert time.monotonic() - started < 60
    assert gone(int(child_pid_file.read_text()))


def test_a_worker_whose_parent_dies_ends_itself(write_step, tmp_path):
    factory = write_step("open(os.environ['CHILD_PID_FILE'], 'w').write(str(os.getpid())); time.sleep(600)")
    pid_file = tmp_path / "worker.pid"
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", "from sslbench.bench.cli import main; main()", "profile", factory],
        env={**os.environ, "CHILD_PID_FILE": str(pid_file)},
    )
    while not pid_file.exists() or not pid_file.read_text():
        time.sleep(0.05)
    worker = int(pid_file.read_text())
    parent.kill()
    parent.wait()
    until = time.monotonic() + 30
    while not gone(worker):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_no_room_for_the_log_is_one_line(run_step, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(MeasureError, match=r"no temporary file for the worker's output: .*set TMPDIR"):
        run_step()


def test_a_place_is_the_users_line_or_else_the_last():
    try:
        re.compile("(")
    except re.error as error:
        assert place_of(error, f"{__file__}:build").startswith(f"{__file__}:")
        assert not place_of(error, "").startswith(__file__)
    assert place_of(ValueError(), "") == ""


@pytest.mark.parametrize(
    ("asked", "given", "expected"),
    [
        (True, None, "expandable_segments:True"),
        (True, "max_split_size_mb:64,expandable_segments:False", "max_split_size_mb:64,expandable_segments:True"),
        (False, "max_split_size_mb:64", "max_split_size_mb:64"),
        (False, None, None),
    ],
)
def test_the_recipe_says_how_cudas_allocator_runs(monkeypatch, asked, given, expected):
    monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
    if given is not None:
        monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", given)
    recipe = resolve_recipe("bert-mini-mlm", {"expandable_segments": asked}).model_dump()
    spec = Spec(task="torch", backend="torch-cuda", recipe=recipe, steps=1, warmup=2, tolerance=0.1, max_seconds=1.0)
    assert worker_environment(spec).get("PYTORCH_CUDA_ALLOC_CONF") == expected
