"""Real workers: what goes wrong in a step comes back as one line, and nothing stays alive."""

import re

import pytest

from sslbench.bench.errors import MeasureError, WorkerError
from sslbench.bench.measure.messages import Spec
from sslbench.bench.measure.process import worker_environment
from sslbench.bench.measure.reporter import place_of
from sslbench.bench.resolve import resolve_recipe


def test_a_step_that_raises_names_its_line(run_step):
    with pytest.raises(WorkerError, match=r"^[^ ]*my_step\.py:13: ValueError: no such token 7$") as caught:
        run_step("if len(calls) == 2: raise ValueError('no such\\ntoken 7')")
    assert (caught.value.kind, caught.value.phase) == ("raised", "warm-up")


@pytest.mark.slow
def test_more_memory_than_there_is(run_step):
    with pytest.raises(WorkerError, match=r"out of memory in phase 'warm-up' .*: lower --batch-size") as caught:
        run_step("torch.empty(2**60)")
    assert caught.value.kind == "out-of-memory"


@pytest.mark.slow
def test_the_kernel_would_end_the_worker_first(run_step):
    with pytest.raises(WorkerError, match="ValueError: 1000"):
        run_step("raise ValueError(open('/proc/self/oom_score_adj').read())")


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
