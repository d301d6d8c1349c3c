import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from sslbench.bench.comparison import Limit
from sslbench.bench.errors import RecordError
from sslbench.bench.gate.load import measurements_of
from sslbench.bench.gate.timed import compare_records
from sslbench.bench.measured import Failure, State, TakingTurns
from sslbench.bench.record import Record, dump_records, load_records

MIB = 2**20
RECORDS = Path(__file__).parents[2] / "data" / "records"


@pytest.fixture
def run():
    """A measured record whose steps take about so long."""
    sample = load_records(RECORDS / "profile-cpu.json")[0]

    def make(seconds=0.03, *, seed=0, spread=0.01, mib=800, peak=500, **update):
        samples = (seconds * np.random.default_rng(seed).lognormal(0, spread, 60)).tolist()
        time = sample.time.model_copy(update={"samples_seconds": samples, "step_seconds": float(np.median(samples))})
        memory = sample.memory.model_copy(
            update={"required_bytes": mib * MIB, "peak_allocated_bytes": peak * MIB, "breakdown": {}}
        )
        state = (sample.state or State()).model_copy(update={"others_cpu_share": update.pop("others", 0.0)})
        created = sample.created + timedelta(seconds=seed)
        return sample.model_copy(update={"time": time, "memory": memory, "state": state, "created": created, **update})

    return make


def compared(base, new, **options):
    return compare_records(base, new, names=("base", "new"), **{"limits": {}, **options})


def outcomes(comparison):
    return {metric.name: metric.outcome for step in comparison.steps for metric in step.metrics}


def test_equal_runs_pass(run):
    comparison = compared([run(seed=1)], [run(seed=2)])
    assert set(outcomes(comparison).values()) == {"pass"}
    assert comparison.exit_code == 0


def test_a_slower_step_is_a_regression_and_a_faster_one_an_improvement(run):
    slower = compared([run(seed=1)], [run(0.036, seed=2)])
    assert outcomes(slower)["time.step_seconds"] == "regression"
    assert slower.exit_code == 1
    metric = slower.steps[0].metrics[0]
    assert metric.share == pytest.approx(0.2, abs=0.02)
    assert metric.p_value < 0.001
    assert outcomes(compared([run(0.036, seed=2)], [run(seed=1)]))["time.step_seconds"] == "improvement"


def test_a_limit_allows_it(run):
    allowed = compared([run(seed=1)], [run(0.036, seed=2)], limits={"slowdown": Limit(share=0.3)})
    assert allowed.exit_code == 0


def test_repeats_that_differ_hide_what_they_do_not_show(run):
    base = [run(seconds, seed=at) for at, seconds in enumerate((0.03, 0.036, 0.042))]
    assert outcomes(compared(base, [run(0.041, seed=9)]))["time.step_seconds"] == "inconclusive"
    close = [run(0.03, seed=at) for at in range(3)]
    assert outcomes(compared(close, [run(0.041, seed=9)]))["time.step_seconds"] == "regression"


def test_memory_that_tensors_hold_has_no_noise(run):
    found = compared([run(peak=500)], [run(peak=506)])
    assert outcomes(found)["memory.peak_allocated_bytes"] == "regression"
    assert outcomes(compared([run(peak=500)], [run(peak=504)]))["memory.peak_allocated_bytes"] == "pass"
    by_amount = compared([run(peak=500)], [run(peak=504)], limits={"memory": Limit(amount=MIB)})
    assert outcomes(by_amount)["memory.peak_allocated_bytes"] == "regression"


def test_a_busy_machine_proves_nothing_between_separate_runs(run):
    found = compared([run(seed=1)], [run(0.036, seed=2, others=0.6)])
    metric = found.steps[0].metrics[0]
    assert metric.outcome == "inconclusive"
    assert "60%" in metric.reason
    assert "new" in metric.reason
    assert found.exit_code == 3


def changed(record: Record, part, **update):
    return record.model_copy(update={part: getattr(record, part).model_copy(update=update)})


@pytest.mark.parametrize(
    ("kind", "words", "change"),
    [
        ("machine", "processor", lambda record: changed(record, "environment", processor="Another")),
        ("machine", "threads", lambda record: changed(record, "environment", threads=96)),
        ("versions", "python", lambda record: changed(record, "environment", python="3.99.0")),
        ("versions", "torch 9.9", lambda record: changed(record, "environment", packages={"torch": "9.9"})),
        ("precision", "precision bf16", lambda record: changed(record, "recipe", precision="bf16")),
        ("recipe", "batch_size 96", lambda record: changed(record, "recipe", batch_size=96)),
    ],
)
def test_what_differs_is_refused_and_named_until_it_is_allowed(run, kind, words, change):
    other = change(run(seed=2))
    refused = compared([other], [run(seed=1)])
    assert refused.exit_code == 2
    assert refused.outcome is None
    (reason,) = [reason for reason in refused.steps[0].refused if words in reason]
    assert f"--allow {kind}" in reason
    allowed = compared([other], [run(seed=1)], allow=[kind])
    assert allowed.exit_code == 0
    assert any(words in note for note in allowed.steps[0].notes)


def test_a_step_that_did_not_run_could_not_be_compared_and_is_no_regression(run):
    failure = Failure(kind="out-of-memory", phase="build", steps_done=0, message="out of memory")
    found = compared([run()], [run(failure=failure)])
    assert (found.exit_code, found.outcome) == (2, None)
    assert "out of memory" in found.steps[0].refused[0]


def test_a_step_that_is_gone_is_told_and_a_new_one_too(run):
    other = changed(run(), "recipe", name="another")
    found = compared([run(), other], [run(seed=3)])
    assert found.exit_code == 2
    assert [step.name for step in found.steps if step.refused] == ["another"]
    assert "another" in compared([run()], [run(), other]).notes[0]


def test_sides_without_a_common_step_are_an_error(run):
    with pytest.raises(RecordError, match="no step in common"):
        compared([run()], [changed(run(), "recipe", name="another")])


def test_several_batch_sizes_are_steps_of_their_own(run):
    side = [changed(run(seed=batch), "recipe", batch_size=batch) for batch in (1, 2)]
    assert len(compared(side, side).steps) == 2


def test_a_size_that_only_one_side_has_is_told_apart(run):
    several = [changed(run(seed=batch), "recipe", batch_size=batch) for batch in (1, 2)]
    found = compared(several, several[:1])
    assert [step.outcome for step in found.steps] == ["pass", None]
    assert "only in new" in compared(several[:1], several).notes[0]


def test_a_repeat_of_another_machine_is_refused_too(run):
    stranger = changed(run(seed=2), "environment", processor="Another")
    assert compared([run(seed=1), stranger], [run(seed=3)]).exit_code == 2


def test_records_of_one_session_are_compared_round_by_round(run):
    """A neighbour doubles the time of both sides halfway: their ratio stays."""
    slow = np.repeat([1.0, 2.0], 30) * np.random.default_rng(5).lognormal(0, 0.02, 60)

    def side(factor, seed):
        samples = (0.03 * factor * slow * np.random.default_rng(seed).lognormal(0, 0.004, 60)).tolist()
        turns = TakingTurns(run="1234", backends=["torch-cpu", "torch-cpu"], steps=[2] * 30)
        return changed(run(turns=turns), "time", samples_seconds=samples)

    found = compared([side(1, 1)], [side(1.05, 2)])
    metric = found.steps[0].metrics[0]
    assert (metric.outcome, metric.share) == ("regression", pytest.approx(0.05, abs=0.01))
    assert outcomes(compared([side(1, 1)], [side(1, 2)]))["time.step_seconds"] == "pass"


def test_what_one_thread_waited_for_is_not_the_steps(run):
    def side(factor, waited, seed):
        clean = 0.03 * factor * np.random.default_rng(seed).lognormal(0, 0.004, 60)
        record = changed(run(), "environment", threads=1)
        waits = [waited] * 60
        return changed(record, "time", samples_seconds=(clean + waits).tolist(), waited_seconds=waits)

    assert compared([side(1, 0.0, 1)], [side(1, 0.02, 2)]).exit_code == 0
    assert compared([side(1, 0.02, 1)], [side(1.2, 0.0, 2)]).exit_code == 1


def test_a_folder_holds_many_records(run, tmp_path):
    (tmp_path / "one.json").write_text(dump_records([run(seed=1), run(seed=2)]))
    line = json.dumps(json.loads(dump_records([run(seed=3)])))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "two.jsonl").write_text(line + "\n" + line + "\n")
    assert len(measurements_of(tmp_path)) == 4


def test_a_folder_without_records_and_predictions_are_errors(tmp_path):
    with pytest.raises(RecordError, match="file: `sslbench profile"):
        measurements_of(tmp_path)
    with pytest.raises(RecordError, match="predictions only"):
        measurements_of(RECORDS / "prediction-fits.json")
