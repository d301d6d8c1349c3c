import itertools

import pytest
from rich.console import Console

from sslbench.bench.measured import TakingTurns
from sslbench.bench.record import Record
from sslbench.reports.html import render_html
from sslbench.reports.markdown import render_markdown
from sslbench.reports.measured_text import print_measurements

STEPS = [1, 2] * 4


@pytest.fixture
def measurement(sweep):
    return sweep[0]


def measured(measurement: Record, backend, *, run="a", slower=1.0, **update) -> Record:
    """8 turns, each slower than the one before on a machine that is slowing down."""
    drift = [1.0 + turn for turn, steps in enumerate(STEPS) for _ in range(steps)]
    samples = [0.1 * slower * slow for slow in drift]
    time = measurement.time.model_copy(update={"samples_seconds": samples, "step_seconds": sorted(samples)[6]})
    turns = TakingTurns(run=run, backends=["torch-cpu", "onnx-cpu"], steps=STEPS)
    return measurement.model_copy(update={"backend": backend, "time": time, "turns": turns, **update})


def printed(records):
    console = Console(width=200)
    with console.capture() as captured:
        print_measurements(records, console)
    return captured.get()


def test_a_drift_of_the_machine_is_no_part_of_the_comparison(measurement):
    memory = measurement.memory.model_copy(update={"required_bytes": measurement.memory.required_bytes // 2})
    pair = [
        measured(measurement, "torch-cpu"),
        measured(measurement, "onnx-cpu", slower=0.5, memory=memory, output_error=8.04e-7),
    ]
    line = "onnx-cpu against torch-cpu, 8 turns each: step time x 0.5, 90 % interval 0.494 to 0.506, memory x 0.5, "
    assert line in printed(pair)
    assert line in render_markdown(pair).replace("\\", "")
    assert line in render_html(pair)
    assert "loss differs by at most 8.0e-07" in printed(pair)


def test_runs_are_told_apart_by_what_varies(measurement):
    recipes = [measurement.recipe.model_copy(update={"batch_size": size}) for size in (8, 16)]
    records = [
        measured(measurement, backend, run=str(recipe.batch_size), recipe=recipe)
        for recipe, backend in itertools.product(recipes, ("torch-cpu", "onnx-cpu"))
    ]
    text = printed(records)
    assert "batch 8: onnx-cpu against torch-cpu" in text
    assert "batch 16: onnx-cpu against torch-cpu" in text


def test_one_that_took_no_turns_is_compared_with_nobody(measurement):
    records = [measured(measurement, "torch-cpu"), measurement.model_copy(update={"backend": "onnx-cpu"})]
    assert "against" not in printed(records)
