import csv
from importlib.resources import files

from sslbench.reports.accuracy import stated


def test_the_summary_is_the_mean_over_all_stated_rows():
    text = files("sslbench.bench.published").joinpath("stated.csv").read_text("utf-8").splitlines()
    rows = [row for row in csv.DictReader(text) if row["metric"] == "seconds"]
    count = sum(int(row["rows"]) for row in rows)
    mean = sum(float(row["mean"]) * int(row["rows"]) for row in rows) / count
    times, memory = stated().summary
    assert times.startswith(f"Step times: {100 * mean:.1f} % off in the mean over {count} published measurements, ")
    assert f"{100 * max(float(row['worst']) for row in rows):.0f} % at worst" in times
    assert memory.startswith("Memory: ")


def test_every_group_has_a_line_as_wide_as_the_header():
    found = stated()
    assert {len(line) for line in found.lines} == {len(found.header)}
