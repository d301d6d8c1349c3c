from datetime import timedelta
from pathlib import Path

import pytest

from sslbench.bench.gate.entries import load_entries
from sslbench.bench.measured import TakingTurns
from sslbench.bench.record import dump_records, load_records

SAMPLE = load_records(Path(__file__).parents[2] / "data" / "records" / "profile-cpu.json")[0]


def launch(number, seconds, commit="a", session="s", allocated=None):
    turns = TakingTurns(run=f"{session}{number}", backends=["torch-cpu"] * 2, steps=[1], session=session)
    return SAMPLE.model_copy(
        update={
            "turns": turns,
            "created": SAMPLE.created + timedelta(minutes=number),
            "time": SAMPLE.time.model_copy(update={"step_seconds": seconds}),
            "memory": SAMPLE.memory.model_copy(update={"peak_allocated_bytes": allocated}),
            "environment": SAMPLE.environment.model_copy(update={"commit": commit}),
        }
    )


def test_the_launches_of_a_side_are_one_entry_with_their_medians(tmp_path):
    base = [launch(at, seconds, allocated=100 if at == 0 else None) for at, seconds in enumerate((0.03, 0.05, 0.031))]
    new = [launch(at, 0.04, commit="b") for at in range(3)]
    for name, side in (("base", base), ("new", new)):
        (tmp_path / f"{name}.json").write_text(dump_records(side))
    before, after = load_entries(tmp_path)
    assert (before.time.step_seconds, before.memory.peak_allocated_bytes) == (0.031, 100)
    assert before.created == SAMPLE.created
    assert (after.environment.commit, after.time.step_seconds) == ("b", pytest.approx(0.04))


def test_two_sessions_of_one_commit_are_two_entries_and_other_records_stay(tmp_path):
    records = [launch(0, 0.03), launch(1, 0.03, session="t"), SAMPLE, SAMPLE]
    (tmp_path / "all.json").write_text(dump_records(records))
    assert len(load_entries(tmp_path)) == 4
