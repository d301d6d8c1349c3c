"""How long a thousand records take to load for a history, beside loading them whole, and their change points."""

from pathlib import Path

import pytest

from sslbench.bench.gate.entries import load_entries
from sslbench.bench.gate.trends import history_of
from sslbench.bench.record import dump_records, load_records

RECORDS = 1000
SAMPLE = load_records(Path(__file__).parents[1] / "data" / "records" / "profile-cpu.json")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    time = SAMPLE.time.model_copy(update={"samples_seconds": [0.03 + 1e-5 * step for step in range(200)]})
    text = dump_records([SAMPLE.model_copy(update={"time": time})])
    for number in range(RECORDS):
        (folder / f"{number}.json").write_text(text)
    return folder


@pytest.mark.benchmark(group="a thousand records")
def test_entries_of_a_history(benchmark, folder):
    assert len(benchmark.pedantic(load_entries, [folder], rounds=3)) == RECORDS


@pytest.mark.benchmark(group="a thousand records")
def test_whole_records(benchmark, folder):
    def load():
        return [record for file in sorted(folder.iterdir()) for record in load_records(file)]

    assert len(benchmark.pedantic(load, rounds=1)) == RECORDS


@pytest.mark.benchmark(group="a thousand records")
def test_series_and_change_points(benchmark, folder):
    entries = load_entries(folder)
    assert benchmark.pedantic(history_of, [entries], rounds=3)
