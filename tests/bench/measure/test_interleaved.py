"""Real workers that take turns. Two configurations of torch-cpu stand for two backends: both are here."""

from dataclasses import replace
from itertools import pairwise

import psutil
import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.configured import Settings
from sslbench.bench.measure.interleaved import measure_interleaved
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.sweep import groups
from sslbench.bench.resolve import resolve_recipe

DIARY = """
with open({path!r}, "a") as diary:
    print(width, os.getpid(), file=diary)
"""


def configuration(step, *, backend="torch-cpu", auto=False, devices=1, **options):
    recipe = resolve_recipe(step, {"options": options})
    return Configuration(recipe=recipe, backend=backend, auto_batch=auto, devices=devices, command=("profile", step))


def together(plan, *, steps=16, progress=lambda *_: None):
    settings = Settings(budget=Budget(steps=steps, warmup=2, timeout=200.0), predict=False)
    switched = []
    found = dict(measure_interleaved(list(enumerate(plan)), settings, progress, switched.append))
    return found, switched


def test_workers_take_turns_and_only_one_computes(write_step, tmp_path):
    step = write_step(DIARY.format(path=str(tmp_path / "diary")))
    records, switched = together([configuration(step, width=2), configuration(step, width=4)])
    entries = [tuple(map(int, line.split())) for line in (tmp_path / "diary").read_text().splitlines()]
    widths = [width for width, _ in entries]
    assert len({pid for _, pid in entries}) == 2
    # 8 rounds of two turns, every second one backwards, each a step that is not timed and two that are
    turns = [2, 4, 4, 2] * 4
    assert widths[:4] == [2, 2, 4, 4]
    assert widths[4:52] == [width for width in turns for _ in range(3)]
    assert switched[:2] == [0, 1]
    assert switched[-2:] == [1, 0]
    first, second = records[0], records[1]
    assert first.turns.run == second.turns.run
    assert first.turns.backends == ["torch-cpu", "torch-cpu"]
    assert first.turns.steps == second.turns.steps == [2] * 8
    assert [len(record.time.samples_seconds) for record in (first, second)] == [16, 16]
    assert first.memory.required_bytes > 0
    assert first.memory.peak_allocated_bytes < second.memory.peak_allocated_bytes


@pytest.mark.slow
def test_turns_go_on_until_the_caller_has_enough(write_step):
    """Whatever each by itself would need; workers have variables of their own."""
    seen = []

    def enough(medians):
        seen.append([len(side) for side in medians])
        assert all(median > 0 for side in medians for median in side)
        return len(seen) == 5

    step = write_step("assert os.environ['SIDE'] == str(width)")
    plan = [
        replace(configuration(step, width=width), environment={"SIDE": str(width), "OMP_NUM_THREADS": "1"})
        for width in (2, 4)
    ]
    settings = Settings(budget=Budget(max_seconds=60, turn_seconds=0.01, warmup=2), predict=False)
    found = dict(measure_interleaved(list(enumerate(plan)), settings, lambda *_: None, lambda _: None, enough))
    assert seen == [[rounds, rounds] for rounds in range(1, 6)]
    assert [len(found[number].turns.steps) for number in (0, 1)] == [5, 5]
    assert found[0].environment.threads == 1
    assert len(found[0].time.waited_seconds) in (0, len(found[0].time.samples_seconds))


@pytest.mark.slow
def test_few_steps_are_few_turns(write_step):
    step = write_step()
    records, _ = together([configuration(step, width=2), configuration(step, width=4)], steps=3)
    assert records[0].turns.steps == [1, 1, 1]
    assert len(records[1].time.samples_seconds) == 3


@pytest.mark.slow
def test_one_that_crashes_leaves_the_other_its_turns(write_step):
    step = write_step("if width == 2 and len(calls) == 6: os.kill(os.getpid(), signal.SIGSEGV)")
    records, _ = together([configuration(step, width=2), configuration(step, width=4)])
    assert (records[0].failure.kind, records[0].failure.phase) == ("crashed", "timed steps")
    assert records[0].turns is None
    assert records[1].failure is None
    assert len(records[1].time.samples_seconds) == 16
    assert records[1].turns is None  # it had nobody to compare with


@pytest.mark.slow
def test_what_cannot_run_here_does_not_stop_the_other(write_step):
    step = write_step()
    found, _ = together([configuration(step, backend="onnx-cpu"), configuration(step)], steps=4)
    assert isinstance(found[0], MeasureError)
    assert "cannot be exported" in str(found[0])
    assert found[1].failure is None


@pytest.mark.slow
def test_what_found_no_memory_beside_the_other_is_measured_alone(write_step, tmp_path):
    flag = str(tmp_path / "flag")
    step = write_step(f"""
        if width == 2 and not os.path.exists({flag!r}):
            open({flag!r}, "w").close()
            raise MemoryError
    """)
    records, _ = together([configuration(step, width=2), configuration(step, width=4)], steps=4)
    assert records[0].failure is None
    assert any(warning.startswith("measured alone: beside torch-cpu it ran") for warning in records[0].warnings)
    assert records[0].turns is None


@pytest.mark.slow
def test_an_interruption_ends_every_worker(write_step):
    def interrupt(phase, done, total):
        if phase == "timed steps":
            assert len(psutil.Process().children()) >= 2
            raise KeyboardInterrupt

    step = write_step()
    with pytest.raises(KeyboardInterrupt):
        together([configuration(step, width=2), configuration(step, width=4)], progress=interrupt)
    assert psutil.Process().children() == []


@pytest.mark.slow
def test_backends_of_one_step_are_measured_together(write_step):
    step = write_step()
    plan = [
        configuration(step, width=2),
        configuration(step, width=2, auto=True),
        configuration(step, width=4),
        configuration(step, backend="torch-cuda", width=2),
        configuration(step, backend="torch-cuda", width=2, devices=2),
        configuration(step, backend="torch-cuda", width=4),
    ]
    found = [[number for number, _ in group] for group in groups(list(enumerate(plan)))]
    assert found == [[0, 3], [1], [2, 5], [4]]
    assert all(earlier[0] < later[0] for earlier, later in pairwise(found))
