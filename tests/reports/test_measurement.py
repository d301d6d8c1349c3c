import pytest

from sslbench.bench.measured import Failure, Predicted
from sslbench.reports.beside import predicted_words
from sslbench.reports.html import render_html
from sslbench.reports.measurement import measurement_view
from sslbench.reports.phases import phase_bar
from sslbench.reports.report_view import build_report
from sslbench.reports.sweep import sweeps


def test_a_full_measurement_in_words(sweep):
    view = measurement_view(sweep[0])
    assert (view.step_time, view.margin) == ("246 ms", "± 0.6 %")
    assert view.step_basis == "median of 40 steps after 6 of warm-up"
    assert view.spread == "MAD 2.95 ms"
    assert (view.throughput, view.tokens) == ("32.5 sequences/s", "4,161 tokens/s")
    assert (view.arithmetic, view.utilization) == ("45.5 GFLOP/s", "35 %")
    assert view.arithmetic_basis == "MFU 35 % of 131 GFLOP/s (measured peak)"
    assert dict(view.memory_rows)["unique to the process (USS)"] == "800 MiB"
    assert view.page_faults == "2,210 a step"
    assert dict(view.state)["other programs"] == "1.2 % of the processor"
    assert [(row.quantity, row.difference, row.inside) for row in view.beside] == [
        ("step time", "12 % high", True),
        ("memory required", "3 % low", True),
        ("peak of tensors", "equal", True),
    ]


def test_recomputation_is_named_where_it_is_counted(sweep):
    recipe = sweep[0].recipe.with_options(activation_checkpointing=True)
    view = measurement_view(sweep[0].model_copy(update={"recipe": recipe}))
    assert view.arithmetic_basis.endswith("(measured peak, recomputation counted)")


def test_two_cards_show_their_ranks_and_their_state(on_cards):
    view = measurement_view(on_cards)
    assert view.backend == "torch-cuda, 2 threads, 2 devices"
    assert view.scaling.summary == "2 devices, ddp over nccl; efficiency 95 %; one device takes 39.1 ms"
    assert view.scaling.ranks == (("0", "cuda:0", "41.2 ms", "13.0 GiB"), ("1", "cuda:1", "40.9 ms", "13.0 GiB"))
    state = dict(view.state)
    assert state["GPU temperature"] == "41 → 63 °C"
    assert state["GPU power"] == "121 → 688 W"
    assert state["GPU clocks held down by"] == "power cap"
    assert state["other processes on the GPU"] == "1, 31 % of its time"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("out-of-memory", "out of memory in warm-up after 1 step"),
        ("killed", "killed in warm-up after 1 step"),
        ("crashed", "crashed in warm-up after 1 step"),
        ("timed-out", "timed out in warm-up after 1 step"),
        ("raised", "raised an error in warm-up after 1 step"),
    ],
)
def test_a_failure_says_what_and_where_and_shows_no_figures(sweep, kind, words):
    failure = Failure(kind=kind, phase="warm-up", steps_done=1, message="the cause")
    record = sweep[-1].model_copy(update={"failure": failure})
    view = measurement_view(record)
    assert (view.failure, view.failure_message) == (words, "the cause")
    assert view.step_time == view.throughput == view.memory == view.energy == ""
    page = render_html([record])
    assert "the cause" in page
    assert "<dt>" not in page


def test_a_prediction_of_what_failed_tells_its_verdict(sweep):
    ran, out_of_memory = sweep[0], sweep[-1]
    assert predicted_words(out_of_memory) == "does not fit: 9.40 of 7.10 GiB; largest batch 96"
    assert predicted_words(ran).startswith("step time 276 ms, 12 % high; memory required 835 MiB, 3 % low")
    surprise = ran.predicted.model_copy(update={"verdict": "does-not-fit"})
    assert "; does not fit: " in predicted_words(ran.model_copy(update={"predicted": surprise}))
    hopeful = out_of_memory.predicted.model_copy(update={"verdict": "fits"})
    assert predicted_words(out_of_memory.model_copy(update={"predicted": hopeful})).startswith("fits: ")
    bare = Predicted(memory=type(ran.memory)(), time=type(ran.time)())
    assert predicted_words(ran.model_copy(update={"predicted": bare})) == ""


def test_phases_fill_their_bar(sweep):
    bar = phase_bar(sweep[0].phases)
    assert [segment.label for segment in bar.segments] == ["forward", "backward", "optimizer", "other"]
    end = 0.0
    for segment in bar.segments:
        assert segment.left == pytest.approx(end, abs=0.01)
        end = segment.left + segment.width
    assert end == pytest.approx(100, abs=0.01)
    assert phase_bar([]) is None


def test_a_sweep_shows_what_varies_and_heads_what_is_shared(sweep, on_cards):
    (found,) = sweeps(sweep)
    assert found.columns == ("batch", "precision")
    assert found.shared == "training step, 128 tokens, adamw"
    assert found.place == "torch-cpu, on Intel Xeon 2.10 GHz, 2 cores, 8 GB, 2 threads"
    assert [row.varied for row in found.rows][:3] == [("8", "fp32"), ("16", "fp32"), ("32", "fp32")]
    assert found.rows[0].label == "batch 8, fp32"
    assert (found.rows[0].time_error, found.rows[0].memory_error) == ("+12 %", "-3 %")
    assert max(row.rate_share for row in found.rows) == 100
    assert found.rows[-1].rate_share == 0
    # the machine and the number of devices follow the backend, so that one column tells all three
    assert sweeps([*sweep, on_cards])[0].columns == ("batch", "precision", "backend")


def test_a_warning_of_a_sweep_names_its_measurement(sweep, on_cards):
    ((warning, carrier),) = build_report([*sweep, on_cards]).warnings
    assert warning.startswith("another process")
    assert carrier.endswith("(batch 64, bf16, torch-cuda)")


def test_a_carried_prediction_stands_beside_its_measurement_alone(sweep, sample):
    assert build_report([sample("prediction-cpu"), sweep[0]]).comparisons == ()
    page = render_html([sample("prediction-cpu"), sweep[0]])
    assert "predicted and then run" not in page
    assert "Predicted for the same step and machine" in page


def test_notes_of_many_records_name_three(sweep):
    records = [record.model_copy(update={"warnings": ["busy"]}) for record in sweep]
    ((_, carriers),) = build_report(records).warnings
    assert carriers.endswith("; and 3 more")


def test_nobody_misses_the_gpu_of_a_step_on_a_processor(sweep, on_cards):
    unknown = {"state.gpu_after": "no GPU took part", "verdict": "measured", "energy.joules_per_step": "no counter"}
    records = [record.model_copy(update={"unknown": unknown}) for record in (sweep[0], on_cards)]
    assert [path for path, _, _ in build_report(records[:1]).unknown] == ["energy.joules_per_step"]
    assert {path for path, _, _ in build_report(records[1:]).unknown} == {"state.gpu_after", "energy.joules_per_step"}
