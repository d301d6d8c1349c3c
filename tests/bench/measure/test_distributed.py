"""Steps of two real gloo processes on this processor, and what becomes of them when one fails."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time

import psutil
import pytest

from sslbench.bench.errors import MeasureError, WorkerError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.measure.scaling import check_devices
from sslbench.bench.recipe import Recipe
from sslbench.bench.resolve import resolve_recipe

pytestmark = [
    pytest.mark.timeout(400),  # four processes that import torch
    pytest.mark.skipif(os.name == "nt", reason="torchrun's processes are followed on Linux and macOS"),
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two devices are two cores"),
]
TINY_BERT = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
}
RANK = "sslbench.bench.measure.rank"


@pytest.fixture
def recipe(tmp_path):
    """Masked language modelling with a tiny BERT."""
    (tmp_path / "config.json").write_text(json.dumps(TINY_BERT))
    return resolve_recipe("bert-mini-mlm", {"model": str(tmp_path), "batch_size": 2, "seq_len": 16})


def ranks():
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        if RANK in (process.info["cmdline"] or ()) and (process.info["environ"] or {}).get("PARALLEL_TEST") == MARK:
            found.append(process)
    return sorted(found, key=lambda process: process.info["environ"]["LOCAL_RANK"])


MARK = str(os.getpid())


@pytest.fixture(autouse=True)
def _own_ranks(monkeypatch):
    monkeypatch.setenv("PARALLEL_TEST", MARK)
    yield
    assert ranks() == []


def run(recipe, strategy="ddp", **options):
    budget = Budget(steps=options.pop("steps", 6), warmup=2, max_seconds=5, timeout=300)
    return measure(
        recipe, backend="torch-cpu", budget=budget, command=[], predict=False, devices=2, strategy=strategy, **options
    )


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_take_a_step_together(recipe, strategy):
    record = run(recipe, strategy)
    scaling, times = record.scaling, record.time
    assert (scaling.devices, scaling.strategy, scaling.communication) == (2, strategy, "gloo")
    assert [rank.rank for rank in scaling.ranks] == [0, 1]
    assert all(rank.device == "cpu" and rank.resident_bytes > 2**26 for rank in scaling.ranks)
    assert len(times.samples_seconds) == 6
    assert times.step_seconds >= max(rank.step_seconds for rank in scaling.ranks)  # the slowest of each step
    assert times.step_seconds == statistics.median(times.samples_seconds)
    assert scaling.efficiency == pytest.approx(scaling.single_step_seconds / times.step_seconds)
    assert times.samples_per_second == pytest.approx(2 * 2 / times.step_seconds)
    assert times.tokens_per_second == pytest.approx(16 * times.samples_per_second)
    assert record.environment.threads == 1
    assert record.recipe.batch_size == 2
    assert record.memory.required_bytes == max(rank.resident_bytes for rank in scaling.ranks)
    assert record.phases == []
    assert "--devices" in record.unknown["phases"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (signal.SIGKILL, "killed", r"rank 1: the worker was killed \(SIGKILL\) in phase"),
        pytest.param(
            signal.SIGSEGV, "crashed", r"rank 1: the worker crashed \(SIGSEGV\) in phase", marks=pytest.mark.slow
        ),
        pytest.param(signal.SIGSTOP, "timed-out", "rank 1 has given no sign of life for 30 s", marks=pytest.mark.slow),
    ],
)
def test_a_rank_that_fails_is_named(recipe, number, kind, message):
    with pytest.raises(WorkerError, match=message) as caught:
        run(recipe, steps=100_000, progress=hits_rank_1(number))
    assert caught.value.kind == kind
    assert caught.value.steps_done > 0


def hits_rank_1(number):
    """Sends a signal to rank 1 when the steps of both are timed; those of one device are timed before."""
    phases = []

    def progress(phase, _done, _total):
        if not phases or phases[-1] != phase:
            phases.append(phase)
            if phases.count("timed steps") == 2:
                os.kill(ranks()[1].pid, number)

    return progress


@pytest.mark.slow
def test_a_step_that_cannot_be_sharded_says_why():
    recipe = resolve_recipe("clip-vit-ti-16", {"batch_size": 2})
    with pytest.raises(WorkerError, match=r"recipe clip-vit-ti-16: fsdp: logit_scale is a single number.*: use ddp"):
        run(recipe, "fsdp", steps=2)


PARENT = """
import sys
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.recipe import Recipe

recipe = Recipe.model_validate_json(sys.argv[1])
budget = Budget(steps=10**9, warmup=2, max_seconds=3)
measure(recipe, backend="torch-cpu", budget=budget, command=[], predict=False, devices=2)
"""


@pytest.mark.slow
def test_ranks_die_with_the_command(recipe):
    parent = subprocess.Popen([sys.executable, "-P", "-c", PARENT, recipe.model_dump_json()])
    try:
        wait_for(lambda: len(ranks()) == 2)
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not ranks(), seconds=20)


def wait_for(condition, seconds=200):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


MLM = Recipe(name="tiny", objective="mlm", model="bert-mini", batch_size=2, seq_len=16)


@pytest.mark.parametrize(
    ("devices", "changes", "options", "message"),
    [
        (0, {}, {}, "--devices: at least 1, got 0"),
        (2, {}, {"strategy": "zero"}, "--strategy: expected one of ddp, fsdp, got 'zero'"),
        (4096, {}, {}, r"--devices 4096: this machine has \d+ core"),
        (2, {}, {"backend": "onnx-cpu"}, "--devices 2: onnx-cpu runs on one device: use torch-cuda or torch-cpu"),
        (2, {"stage": "infer"}, {}, "--devices 2: inference steps share nothing"),
        (2, {"factory": "my_step.py:build"}, {}, "--devices 2: tiny is a step of one's own"),
        (2, {"compile": True}, {}, "--devices 2: --compile goes with one device"),
        (2, {}, {"others": {"--memory-limit": 5}}, "--devices 2: --memory-limit goes with one device"),
    ],
)
def test_what_cannot_run_on_several_devices_is_said_at_once(devices, changes, options, message):
    arguments = {"strategy": "ddp", "backend": "torch-cpu", "others": {}, **options}
    with pytest.raises(MeasureError, match=message):
        check_devices(devices, recipe=MLM.with_options(**changes), **arguments)


def test_one_device_is_always_possible():
    check_devices(1, "ddp", recipe=MLM, backend="onnx-cpu", others={"--memory-limit": 5})
