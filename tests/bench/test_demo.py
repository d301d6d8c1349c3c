import pytest

from sslbench.bench.demo import LARGE, RUNS, SMALL, Part, answer, tour
from sslbench.bench.errors import MeasureError
from sslbench.bench.trace.cache import TraceCache


@pytest.fixture
def parts(tmp_path):
    return {part.title: part for part in tour(seconds=0.01, cache=TraceCache(tmp_path))}


def test_the_tour_measures_and_predicts(parts):
    assert sum(title.startswith("measure") for title in parts) == len(SMALL) * len(RUNS)
    for name in (*SMALL, *LARGE):
        assert any(title.startswith(f"predict {name}, train") for title in parts)


@pytest.mark.slow
def test_what_was_predicted_can_be_set_beside_what_was_measured(parts):
    seen = []
    measured = answer(
        parts["measure simclr-resnet18, infer, torch-cpu"], lambda _, done, total: seen.append((done, total))
    )
    predicted = answer(parts["predict simclr-resnet18, infer, this processor"])
    assert measured.failure == predicted.failure == ""
    (measurement,), (prediction,) = measured.records, predicted.records
    assert (measurement.kind, prediction.kind) == ("measurement", "prediction")
    assert measurement.recipe == prediction.recipe
    assert (measurement.machine.name, measurement.backend) == (prediction.machine.name, prediction.backend)
    assert measurement.command[:2] == ["profile", "simclr-resnet18"]
    assert max(done for done, _ in seen) >= len(measurement.time.samples_seconds)


def test_a_large_recipe_is_predicted_for_this_processor_and_two_cards(parts):
    (title,) = [title for title in parts if title.startswith("predict bert-base-mlm")]
    answered = answer(parts[title])
    assert [record.machine.name for record in answered.records] == ["here", "rtx-4090", "h200"]
    assert all(record.verdict is not None for record in answered.records)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MeasureError("no onnxruntime:\n  install it"), "no onnxruntime: install it"),
        (ModuleNotFoundError("No module named 'torch'"), "ModuleNotFoundError: No module named 'torch'"),
    ],
)
def test_a_part_that_fails_says_why_in_one_line(error, line):
    def run(progress):
        raise error

    answered = answer(Part("broken", run))
    assert (answered.records, answered.failure) == ((), line)
