import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import RecordError
from sslbench.bench.gate.entries import load_branch, load_entries
from sslbench.bench.gate.trends import changes_of, history_of
from sslbench.bench.git import git
from sslbench.bench.record import dump_records, load_records
from sslbench.reports.history import history_markdown, history_text

SAMPLE = load_records(Path(__file__).parents[2] / "data" / "records" / "profile-cpu.json")[0]


def records(levels, *, noise=0.01):
    factors = np.random.default_rng(3).lognormal(0, noise, len(levels))
    for at, (level, factor) in enumerate(zip(levels, factors, strict=True)):
        environment = SAMPLE.environment.model_copy(update={"commit": f"{at:09d}{'0' * 31}", "uncommitted": at == 0})
        time = SAMPLE.time.model_copy(update={"step_seconds": level * factor})
        created = SAMPLE.created + timedelta(hours=at)
        yield SAMPLE.model_copy(update={"environment": environment, "time": time, "created": created})


@pytest.fixture
def folder(tmp_path):
    """Forty records, slower from the 25th on, in one file each, not in the order of time."""
    (tmp_path / "runs").mkdir()
    for at, record in enumerate(records([0.03] * 24 + [0.032] * 16)):
        (tmp_path / "runs" / f"{(at * 17) % 40:02d}.json").write_text(dump_records([record]))
    return tmp_path / "runs"


def test_a_change_is_found_where_it_is_and_names_its_commit(folder):
    history = history_of(load_entries(folder))
    (step,) = history.steps
    (time,) = [trend for trend in step.trends if trend.metric == "time.step_seconds"]
    (change,) = time.changes
    assert change.at == 24
    assert change.share == pytest.approx(0.0667, abs=0.015)
    assert "at commit 000000024 (before: 000000023)" in history_text(history)
    assert "000000000+" in step.commits[0]
    assert "at commit 000000024" in history_markdown(history)


def test_an_entry_has_what_the_whole_record_says(folder):
    (entry, *_), (record, *_) = load_entries(folder), records([0.03])
    for path in (
        "created",
        "backend",
        "recipe.name",
        "environment.commit",
        "memory.required_bytes",
        "time.step_seconds",
    ):
        part, _, name = path.rpartition(".")
        sides = [getattr(getattr(side, part), name) if part else getattr(side, name) for side in (entry, record)]
        assert sides[0] == sides[1]


def test_one_record_a_line_and_arrays_are_read_too(folder, tmp_path):
    whole = [load_records(path)[0] for path in sorted(folder.iterdir())]
    (tmp_path / "all.json").write_text(dump_records(whole))
    lines = "".join(json.dumps(json.loads(dump_records([one]))) + "\n" for one in whole)
    (tmp_path / "all.jsonl").write_text(lines)
    assert load_entries(tmp_path / "all.json") == load_entries(tmp_path / "all.jsonl") == load_entries(folder)


def test_a_branch_is_a_store(folder, monkeypatch):
    repository = folder.parent
    git(repository, "init", "--quiet", "--initial-branch", "results")
    git(repository, "add", "runs")
    git(repository, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "records")
    expected = load_entries(folder)
    for path in folder.iterdir():
        path.unlink()
    assert load_branch(repository, "results", "runs") == expected


def test_what_is_wrong_with_a_file_is_said_as_everywhere(tmp_path):
    (tmp_path / "bad.json").write_text('{"schema": "sslbench.record/1"}')
    with pytest.raises(RecordError, match=r"bad\.json: kind is missing"):
        load_entries(tmp_path)


@given(st.floats(1e-3, 1e3), st.integers(0, 2**20))
def test_noise_alone_has_few_changes_and_a_unit_changes_nothing(unit, seed):
    values = np.random.default_rng(seed).lognormal(0, 0.01, 60)
    assert len(changes_of((unit * values).tolist(), 0.05)) == 0


def test_bytes_that_never_differed_change_at_once_and_one_slow_run_is_no_change():
    values = [1000.0] * 10 + [1040.0] * 2
    assert [(change.at, round(change.share, 3)) for change in changes_of(values, 0.02)] == [(10, 0.04)]
    assert changes_of([1.0, 1.01, 0.99, 1.0, 1.4, 1.0, 1.01, 0.99, 1.0, 1.0], 0.02) == ()


def test_false_changes_are_rare():
    """Of 200 series of 60 records without a change."""
    series = (np.random.default_rng(seed).lognormal(0, 0.02, 60).tolist() for seed in range(200))
    assert sum(bool(changes_of(values, 0.02)) for values in series) <= 6
