import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measured import Data
from sslbench.bench.quantities import Memory
from sslbench.reports.html import render_html
from sslbench.reports.markdown import render_markdown
from sslbench.reports.measurement import measurement_view
from sslbench.reports.memory import memory_bar
from sslbench.reports.report_view import build_report
from sslbench.reports.samples import MOST_DOTS, dot_plot, middle_half
from sslbench.reports.view import best_first, by_recipe, prediction_view, verdict_line
from sslbench.reports.words import plain, recipe_label, sample_unit, unknown_reason

GIB = 2**30
sizes = st.integers(-5, 2**45)


def test_a_prediction_in_words(sample):
    view = prediction_view(sample("prediction-fits"))
    assert verdict_line(view) == "fits: 13.8 of 24.0 GiB, 90 % interval 13.2 to 14.4, P(fits) > 99 %"
    assert (view.step_time, view.throughput, view.max_batch) == ("186 ms", "172 sequences/s", "58")
    assert view.recipe.settings == "training step, batch 32, 512 tokens, bf16, adamw"
    assert view.command == "sslbench fit bert-base-mlm --machine rtx-4090 --batch-size 32"


def test_a_title_leaves_sizes_to_the_settings(sample):
    recipe = sample("prediction-fits").recipe.with_options(title="BERT base: 512 tokens", seq_len=128)
    label = recipe_label(recipe)
    assert label.title == "BERT base"
    assert "128 tokens" in label.settings


def test_a_command_that_names_the_program_names_it_once(sample):
    record = sample("prediction-fits").model_copy(update={"command": ["sslbench", "fit", "a b"]})
    assert prediction_view(record).command == "sslbench fit 'a b'"


def test_a_measurement_in_words(sample):
    view = measurement_view(sample("measurement-cpu"))
    assert (view.step_time, view.step_basis) == ("246 ms", "median of 30 steps")
    assert (view.energy, view.energy_basis) == ("not known", "no energy counter on this machine")
    assert view.backend == "torch-cpu, 2 threads"


def test_energy_that_is_known_says_what_the_counter_covers(sample):
    record = sample("measurement-cpu")
    energy = record.energy.model_copy(update={"joules_per_step": 12.34, "source": "processor packages"})
    view = measurement_view(record.model_copy(update={"energy": energy}))
    assert (view.energy, view.energy_basis) == ("12.3 J/step", "processor packages")


def test_predicted_and_measured_meet_only_for_the_same_step(samples, sample):
    (found,) = build_report(samples).comparisons
    assert [(row.quantity, row.predicted, row.measured, row.inside) for row in found.rows] == [
        ("step time", "236 ms", "246 ms", True),
        ("memory required", "821 MiB", "861 MiB", True),
    ]
    other = sample("measurement-cpu").model_copy(update={"backend": "onnx-cpu"})
    assert build_report([sample("prediction-cpu"), other]).comparisons == ()
    slow = sample("measurement-cpu")
    slow = slow.model_copy(update={"time": slow.time.model_copy(update={"samples_seconds": [0.9, 0.9]})})
    row = build_report([sample("prediction-cpu"), slow]).comparisons[0].rows[0]
    assert (row.inside, row.difference) == (False, "74 % low")


def test_recipes_keep_their_order_and_machines_come_best_first(samples, sample):
    older = [record for record in samples if record.predicted is None]
    assert [group[0].recipe.name for group in by_recipe(older)] == list(
        dict.fromkeys(record.recipe.name for record in older)
    )
    stems = ["prediction-does-not-fit", "prediction-tight", "prediction-fits"]
    assert [record.verdict for record in best_first([sample(stem) for stem in stems])] == [
        "fits",
        "tight",
        "does-not-fit",
    ]


def test_warnings_and_reasons_are_told_once(sample):
    record = sample("prediction-tight")
    report = build_report([record, record])
    assert len(report.warnings) == 1
    assert len(report.unknown) == 1
    assert len(report.commands) == 1
    assert report.contents == "2 predictions; 2026-11-21"


def test_units_of_samples_and_reasons(sample):
    recipe = sample("prediction-tight").recipe
    assert sample_unit(recipe) == "images"
    assert sample_unit(recipe.model_copy(update={"seq_len": 77})) == "samples"
    assert "activation checkpointing" in recipe_label(recipe.with_options(activation_checkpointing=True)).settings
    record = sample("prediction-fits").model_copy(update={"unknown": {"energy": "no counter"}})
    assert unknown_reason(record, "energy.joules_per_step") == "no counter"
    assert unknown_reason(record, "time.step_seconds") == ""


def test_a_device_that_overflows_shows_by_how_much(sample):
    bar = memory_bar(sample("prediction-does-not-fit").memory)
    assert 60 < bar.capacity_at < 75
    assert bar.over + bar.capacity_at <= 100
    assert memory_bar(sample("prediction-fits").memory).over == 0


def test_memory_without_a_breakdown_is_still_a_bar_of_what_is_known():
    bar = memory_bar(Memory(peak_allocated_bytes=2 * GIB, required_bytes=3 * GIB))
    assert [(segment.label, segment.size) for segment in bar.segments] == [
        ("other tensors", "2.00 GiB"),
        ("not attributed", "1.00 GiB"),
    ]
    assert memory_bar(Memory()) is None


@given(
    st.builds(
        Memory,
        peak_allocated_bytes=st.none() | sizes,
        peak_reserved_bytes=st.none() | sizes,
        fixed_overhead_bytes=st.none() | sizes,
        required_bytes=st.none() | sizes,
        capacity_bytes=st.none() | sizes,
        interval_bytes=st.none() | st.tuples(st.floats(-1, 1e15), st.floats(-1, 1e15)),
        breakdown=st.dictionaries(st.sampled_from(["parameter", "activation", "other", "odd"]), sizes),
    )
)
def test_segments_stand_side_by_side_within_the_bar(memory):
    bar = memory_bar(memory)
    if bar is None:
        return
    end = 0.0
    for segment in bar.segments:
        assert segment.left == pytest.approx(end, abs=0.01)
        assert segment.width >= 0
        end = segment.left + segment.width
    assert end <= 100.01
    if memory.required_bytes is not None:
        assert sum(segment.bytes for segment in bar.segments) >= memory.required_bytes


@given(st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=700))
def test_dots_stay_inside_and_are_not_too_many(samples_s):
    plot = dot_plot(samples_s)
    assert len(plot.dots) <= MOST_DOTS
    assert all(0 <= left <= 100 and 0 <= top <= 100 for left, top in plot.dots)
    assert 0 <= plot.median_at <= 100
    if half := middle_half(samples_s):
        assert min(samples_s) * 0.999 <= half[0] <= half[1] <= max(samples_s) * 1.001
        assert plot.quartiles_at[0] <= plot.median_at <= plot.quartiles_at[1]


def test_few_samples_have_no_plot():
    assert dot_plot([]) is None
    assert dot_plot([1.0]) is None
    assert middle_half([1.0, 2.0]) is None


@given(st.text())
def test_plain_text_is_one_visible_line(text):
    shown = plain(text)
    assert shown.isprintable() or all(character.isspace() or character.isprintable() for character in shown)
    assert not {"\n", "\r", "\x1b", "\u202e", "\u2028"} & set(shown)
    assert plain(shown) == shown


def test_long_text_is_cut_visibly():
    assert plain("n" * 200, 10) == "n" * 9 + "…"


@pytest.mark.parametrize(
    ("rate", "workers", "limit", "line"),
    [
        (10.0, 1, "loader", "10.0 sequences/s with 1 worker: the loader is the limit, not the model"),
        (2000.0, 4, "model", "2,000 sequences/s with 4 workers: the model is the limit, not the loader"),
        (500.0, 0, "model", "500 sequences/s with no worker of its own: the model is the limit, not the loader"),
    ],
)
def test_real_input_says_what_the_limit_is(sample, rate, workers, limit, line):
    record = sample("measurement-cpu")
    assert (measurement_view(record).loader, measurement_view(record).loader_basis) == ("", "")
    data = Data(
        kind="text",
        source="a.txt",
        items=3,
        workers=workers,
        loader_samples_per_second=rate,
        step_seconds=0.8,
        samples_per_second=10.0,
        limit=limit,
    )
    fed = record.model_copy(update={"data": data})
    view = measurement_view(fed)
    assert (view.loader, view.loader_basis) == (line, "fed by it a step takes 800 ms on average")
    assert line in render_html([fed])
    assert line in render_markdown([fed])
    assert "| Energy | Loader |" in render_markdown([fed, record])
    assert "Loader" not in render_html([record]) + render_markdown([record])
