"""Sweeps of real workers."""

import pytest

from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.configured import Settings
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.record_file import RecordFile
from sslbench.bench.measure.sweep import run_sweep, worst_exit_code
from sslbench.bench.record import load_records
from sslbench.bench.resolve import resolve_recipe

MIB = 2**20


class Diary:
    """Writes down what a watcher is told."""

    def __init__(self):
        self.entries = []
        self.remarks = []
        self.phases = []

    def started(self, number):
        self.entries.append(number)

    def progress(self, phase, done, total):
        self.phases.append(phase)

    def remark(self, text):
        self.remarks.append(text)

    def finished(self, number, result):
        self.entries.append((number, result.exit_code))


def configuration(step, *, auto=False, backend="torch-cpu", **options):
    recipe = resolve_recipe(step, {"options": options})
    return Configuration(recipe=recipe, backend=backend, auto_batch=auto, command=("profile", step))


def run(plan, *, file=None, limit=None, timeout=100.0):
    diary, results = Diary(), {}
    budget = Budget(steps=1, warmup=2, timeout=timeout)
    settings = Settings(budget=budget, memory_limit_bytes=limit, predict=False)
    run_sweep(plan, settings, watcher=diary, results=results, file=file)
    return diary, results


@pytest.mark.slow
def test_a_sweep_goes_on_whatever_becomes_of_a_step(write_step, tmp_path):
    step = write_step("if width == 2: os.kill(os.getpid(), signal.SIGSEGV)")
    plan = [
        configuration(step, width=2),
        configuration(step, backend="onnx-cpu"),
        configuration(step, width=4),
    ]
    diary, results = run(plan, file=RecordFile(tmp_path / "r.json"))
    assert diary.entries == [0, (0, 2), 1, (1, 2), 2, (2, 0)]
    assert worst_exit_code(results) == 2
    crashed, ran = load_records(tmp_path / "r.json")
    assert crashed.failure.kind == "crashed"
    assert (ran.failure, ran.recipe.options) == (None, {"width": 4})
    assert results[1].record is None
    assert "onnx-cpu" in str(results[1].error)


def test_the_worst_outcome_decides():
    assert worst_exit_code({}) == 0


@pytest.mark.slow
def test_a_search_ends_with_a_failure_that_is_not_memory_s(write_step):
    step = write_step("os._exit(3)")
    diary, results = run([configuration(step, auto=True)], limit=1000 * MIB)
    assert results[0].record.failure.kind == "crashed"
    assert results[0].record.max_batch_size is None
    (remark,) = diary.remarks
    assert remark.startswith("largest batch: not found: batch ")


@pytest.mark.slow
@pytest.mark.timeout(600)  # a worker for each try
def test_the_largest_batch_is_found_and_measured(write_step):
    step = write_step("kept = torch.ones(batch_size, 64 * 2**18)\ntime.sleep(0.3)")
    diary, results = run([configuration(step, auto=True)], limit=1000 * MIB)
    record = results[0].record
    assert record.failure is None
    assert record.recipe.batch_size == record.max_batch_size
    assert record.memory.required_bytes <= 1000 * MIB
    # A sample takes 64 MiB, and the process some hundreds.
    assert 6 <= record.max_batch_size <= 14
    (remark,) = diary.remarks
    assert remark.startswith(f"largest batch: {record.max_batch_size} (predicted ")
    assert f"{record.max_batch_size}: ran" in remark
    assert ": out of memory" in remark


@pytest.mark.slow
@pytest.mark.timeout(600)  # a worker for each try
def test_where_not_even_one_sample_runs(write_step):
    step = write_step("kept = torch.ones(batch_size, 1000 * 2**18)\ntime.sleep(0.3)")
    diary, results = run([configuration(step, auto=True)], limit=700 * MIB)
    assert results[0].exit_code == 1
    assert diary.remarks[0].startswith("largest batch: none (")
