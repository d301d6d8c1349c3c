import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from sslbench.bench.commands.sweep_table import SweepTable
from sslbench.bench.errors import MeasureError
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.sweep import Result
from sslbench.bench.measured import Failure
from sslbench.bench.record import load_records
from sslbench.bench.resolve import resolve_recipe

RECORD = load_records(Path(__file__).parents[2] / "data" / "records" / "measurement-cpu.json")[0]
PLAN = [
    Configuration(
        recipe=resolve_recipe("bert-mini-mlm", {"stage": "infer", "precision": precision, "batch_size": size}),
        backend="torch-cpu",
        command=(),
    )
    for precision in ("fp32", "bf16")
    for size in (8, 16, 32)
]


def ran(one, seconds=30.0, **changes):
    return Result(record=RECORD.model_copy(update={"recipe": one.recipe, "warnings": [], **changes}), seconds=seconds)


def failed(one, kind):
    failure = Failure(kind=kind, phase="warm-up", steps_done=1, message="no")
    return ran(one, failure=failure)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)


def shown(table, console):
    """The lines as they stand on the screen."""
    with console.capture() as capture:
        console.print(table.render())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_every_state_of_a_configuration_has_its_row(console):
    results = {
        0: ran(PLAN[0], seconds=20),
        1: failed(PLAN[1], "out-of-memory"),
        2: Result(error=MeasureError("not here")),
    }
    table = SweepTable(PLAN, console, results)
    table.started(3)
    table.progress("timed steps", 12, 50)
    lines = shown(table, console)
    assert lines[0] == "bert-mini-mlm, infer, torch-cpu"
    assert lines[2].split() == ["batch", "precision", "step", "sequences/s", "memory"]
    assert lines[3].startswith("✓      8  fp32  ")
    assert lines[3].endswith("  20 s")
    assert lines[4] == "✕     16  fp32       out of memory in warm-up after 1 step"
    assert lines[5] == "✕     32  fp32       not here"
    assert lines[6] == "▸      8  bf16       timed steps 12/50"
    assert lines[7] == "·     16  bf16"
    assert re.search(r"  3 of 6, 1 out of memory, 1 could not run, about \d+ s left$", lines[-1])
    assert max(map(len, lines)) <= 80


def test_a_screen_that_is_too_low_shows_what_runs(console):
    console.size = (80, 11)
    table = SweepTable(PLAN, console, {number: ran(PLAN[number]) for number in range(3)})
    table.started(3)
    lines = shown(table, console)
    assert [line[0] for line in lines[3:7]] == ["✓", "✓", "▸", "·"]
    assert lines[7].strip() == "1 more above, 1 more below"
    assert len(lines) <= 11


def test_the_largest_batch_stands_beside_auto(console):
    auto = Configuration(recipe=PLAN[0].recipe, backend="torch-cpu", auto_batch=True, command=())
    result = ran(Configuration(recipe=PLAN[0].recipe.with_options(batch_size=112), backend="torch-cpu", command=()))
    lines = shown(SweepTable([auto, PLAN[1]], console, {0: result}), console)
    assert lines[3].startswith("✓  auto 112  ")


def test_records_that_were_there_take_no_time(console):
    table = SweepTable(PLAN, console, {0: ran(PLAN[0], seconds=0.0)})
    assert shown(table, console)[3].endswith("  from the file")
    assert shown(table, console)[-1].endswith("1 of 6")


def test_it_is_drawn_when_a_phase_begins_and_not_with_every_step(console):
    table = SweepTable(PLAN, console, {})
    with table.shown():
        table.started(0)
        table.progress("warm-up", 1, None)
        before = len(console.file.getvalue())
        for done in range(2, 6):
            table.progress("warm-up", done, None)
        assert len(console.file.getvalue()) == before
        table.progress("timed steps", 6, 10)
        assert "timed steps 6/10" in console.file.getvalue()[before:]
        table.remark("tried 96: ran")
        table.finished(0, ran(PLAN[0]))
    assert "tried 96: ran" in console.file.getvalue()


def test_hostile_names_cannot_move_the_cursor(console):
    recipe = PLAN[0].recipe.model_copy(update={"name": "a\x1b[2J"})
    hostile = Configuration(recipe=recipe, backend="torch-cpu", command=())
    assert "\x1b" not in "".join(shown(SweepTable([hostile, PLAN[1]], console, {}), console))
