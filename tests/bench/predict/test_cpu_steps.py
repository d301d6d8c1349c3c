"""The catalog's small recipes on a probed processor: predicted again from the committed probe, against measured steps.

Nine rounds within 50 minutes, each of `sslbench probe --again` and of the steps that two minutes have room for, on two
cores of an EPYC 9004 in a shared virtual machine, torch 2.13. `tests/data/cpu/probe.toml` holds the fastest of nine
probes; `steps.csv` the fastest of a step's rounds, each the median of the five samples of a process of its own whose
threads waited least for a core. `CPU_CALLS` had been chosen by every other recipe in the order of their names, from the
first on, of an earlier measurement; the others were held back.
"""

import csv
from pathlib import Path
from statistics import mean

import pytest

from sslbench.bench.predict.time import predict_time
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.recipes import trace_recipe
from sslbench.hardware_profiles.loader import load_profile

FOLDER = Path(__file__).parents[2] / "data" / "cpu"
with (FOLDER / "steps.csv").open(encoding="utf-8") as file:
    ROWS = list(csv.DictReader(file))
MACHINE = load_profile(FOLDER / "probe.toml")


def compared(rows):
    """(recipe, predicted over measured less one, whether the interval holds it)."""
    for row in rows:
        trace = trace_recipe(resolve_recipe(row["recipe"], {"stage": row["stage"]}), "cpu", (0, 0))
        said, measured = predict_time(trace, MACHINE), float(row["seconds"])
        low, high = said.interval_seconds
        yield row["recipe"], said.step_seconds / measured - 1, low <= measured <= high


def test_some_inference_steps_are_predicted_from_the_probe():
    rows = [row for row in ROWS if row["stage"] == "infer" and "resnet18" in row["recipe"]][:4]
    errors = [abs(error) for _, error, _ in compared(rows)]
    assert mean(errors) < 0.25


@pytest.mark.slow
def test_the_catalogs_small_recipes_are_predicted_from_the_probe():
    found = list(compared(ROWS))
    assert len(found) == 48
    assert mean(abs(error) for _, error, _ in found) < 0.105
    assert abs(mean(error for _, error, _ in found)) < 0.06
    assert mean(inside for _, _, inside in found) > 0.85
    names = sorted({row["recipe"] for row in ROWS})
    held_back = [abs(error) for name, error, _ in found if name in names[1::2]]
    assert mean(held_back) < 0.12
