"""What-if: the words of a grid, its picture, and its tables on a terminal and as Markdown."""

import io

import pytest
from rich.console import Console

from sslbench.reports.batch_curve import batch_curve
from sslbench.reports.html import render_html
from sslbench.reports.markdown import render_markdown
from sslbench.reports.what_if import what_ifs
from sslbench.reports.what_if_text import print_what_ifs


@pytest.fixture(scope="session")
def record(sample, with_grid):
    return with_grid(sample("prediction-fits"), unknown="at another batch: it fails")


@pytest.fixture(scope="session")
def view(record):
    (found,) = what_ifs([record])
    return found


def cells(view, label):
    (found,) = (each.cells for each in view.machines[0].settings if each.label == label)
    return found


def test_a_cell_says_what_it_takes_and_what_that_changes(view):
    half, own, twice, _ = cells(view, "bf16, checkpointing")
    assert (twice.batch, twice.verdict.word) == ("64", "fits")
    assert (twice.memory, twice.memory_interval) == ("13.8 of 24.0 GiB", "12.4 to 15.2 GiB")
    assert (twice.step, twice.step_interval, twice.rate) == ("558 ms", "446 to 698 ms", "115 sequences/s")
    assert twice.change == "step 3.00 times, throughput -33 %"  # memory is the same: half of twice
    assert own.change == "memory -50 %, step +50 %, throughput -33 %"
    assert half.change == "memory -75 %, step -25 %, throughput -33 %"


def test_the_recipes_own_cell_is_the_prediction_and_changes_nothing(view):
    own = cells(view, "bf16")[1]
    assert (view.own, own.batch, own.memory, own.step, own.change) == (
        "batch 32, bf16", "32", "13.8 of 24.0 GiB", "186 ms", "",
    )  # fmt: skip


def test_a_whole_run_that_does_not_fit_has_no_duration(view):
    found = cells(view, "bf16")
    assert [bool(cell.run) for cell in found] == [True, True, False, False]
    assert (found[1].run, found[1].run_interval) == ("1 h 37 min", "1 h 18 min to 2 h 01 min")  # 0.186 s a step, 31,250


def test_a_bar_keeps_its_scale_and_its_place_inside(view):
    machine = view.machines[0]
    for settings in machine.settings:
        for cell in settings.cells:
            assert all(0 <= place <= 100 for place in cell.bar)
            if cell.verdict.key == "does-not-fit":
                assert cell.bar[0] >= machine.capacity_at
    first, second = (cells(view, "bf16")[place].bar[0] for place in (0, 1))
    assert second == pytest.approx(2 * first, abs=0.02)


def test_what_could_not_be_computed_says_why(view, record):
    last = cells(view, "fp16")[-1]
    assert (last.verdict.word, last.memory, last.unknown) == ("no verdict", "", "at another batch: it fails")
    assert "at another batch: it fails" in render_html([record])


def test_the_picture_marks_the_largest_batch_where_memory_meets_the_capacity(record):
    curve = batch_curve(record)
    (off,) = [each for each in curve.curves if each.label == "bf16"]
    batches = record.what_if.batch_sizes
    places = dict(zip(batches, (place for place, _ in curve.x_ticks), strict=True))
    assert places[32] < off.limit_at < places[64]
    assert off.limit == "55"
    below = [dot.memory_y > curve.capacity_y for dot in off.dots if dot.memory_y is not None]
    assert below[:2] == [True, True]  # lower in the picture is less memory
    assert not any(below[2:])
    assert [dot.rate_y is None for dot in off.dots] == [False, False, True, True]


def test_what_has_no_grid_has_no_section(sample):
    assert list(what_ifs([sample("prediction-fits")])) == []
    assert 'id="what-if"' not in render_html([sample("prediction-fits")])
    assert "What if" not in render_markdown([sample("prediction-fits")])


def test_machines_of_one_recipe_share_the_controls(record):
    other = record.model_copy(update={"machine": record.machine.model_copy(update={"device_count": 2})})
    (view,) = what_ifs([record, other])
    assert [machine.name for machine in view.machines] == ["rtx-4090", "rtx-4090:2"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_terminal_has_a_table_of_80_columns(record, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_what_ifs([record], Console(file=stream, width=80))
    stream.seek(0)
    lines = stream.read().splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.strip().startswith("64"))
    assert row.replace("✕", "x").replace("✓ ", "").split() == [
        "64",
        "x",
        "27.7",
        "GiB",
        "13.8",
        "GiB",
        "x",
        "27.7",
        "GiB",
    ]
    assert "? fp16: at another batch: it fails" in lines


def test_markdown_has_a_table_a_machine(record):
    lines = render_markdown([record]).splitlines()
    start = lines.index("| Batch | bf16 | bf16, checkpointing | fp16 |")
    assert lines[start + 2] == "| largest | **55** | **111** | **55** |"
    assert lines[start + 4] == "| 32 | ✓ 13.8 GiB, 186 ms | ✓ 6.91 GiB, 279 ms | ✓ 13.8 GiB, 186 ms |"
    assert lines[start + 6] == "| 128 | ✕ 55.3 GiB | ✕ 27.7 GiB | at another batch: it fails |"
