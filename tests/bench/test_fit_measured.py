"""`fit --measured`: records of other machines enter a prediction, or are refused in one line."""

from datetime import UTC, datetime
from importlib.resources import as_file, files
from statistics import mean

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.errors import RecordError
from sslbench.bench.fit import TraceSource, fit, target_of
from sslbench.bench.fit_measured import read_measured
from sslbench.bench.machines import find_machine
from sslbench.bench.measured import Failure, PhaseMeasured
from sslbench.bench.predict.elsewhere import step_key
from sslbench.bench.predict.time import predict_time
from sslbench.bench.predict.transfer import REPEATED_SIGMA, observe, sharpen
from sslbench.bench.published.rows import published_rows
from sslbench.bench.quantities import Time
from sslbench.bench.record import dump_records, load_records
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache

RECIPE = resolve_recipe("bert-mini-mlm", {"batch_size": 64, "seq_len": 128})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return TraceCache(tmp_path_factory.mktemp("traces"))


@pytest.fixture(scope="module")
def predicted(cache):
    return fit(RECIPE, [find_machine("rtx-3090")], cache=cache, command=[])[0]


@pytest.fixture
def measured(predicted):
    """What a measurement on that card would say, 10 % longer than predicted."""
    seconds = 1.1 * predicted.time.step_seconds
    time = predicted.time.model_copy(
        update={"step_seconds": seconds, "interval_seconds": (0.99 * seconds, 1.01 * seconds)}
    )
    none = {"verdict": None, "probability_fits": None, "max_batch_size": None}
    return predicted.model_copy(update={"kind": "measurement", "time": time, "created": datetime.now(UTC), **none})


@pytest.fixture
def write(tmp_path):
    def write_(*records):
        path = tmp_path / "measured.json"
        path.write_text(dump_records(records), encoding="utf-8")
        return path

    return write_


def sharpened(path, cache, machine="rtx-4090", recipe=RECIPE):
    found, _ = read_measured([path], recipe, cache)
    return fit(recipe, [find_machine(machine)], cache=cache, command=[], measured=found)[0]


def test_a_measured_record_sharpens_another_machines_time(measured, cache, write):
    plain = fit(RECIPE, [find_machine("rtx-4090")], cache=cache, command=[])[0]
    record = sharpened(write(measured), cache)
    (low, high), (narrow, narrower) = plain.time.interval_seconds, record.time.interval_seconds
    assert plain.time.step_seconds < record.time.step_seconds < 1.1 * plain.time.step_seconds
    assert narrower / narrow < high / low
    assert record.time.samples_per_second == pytest.approx(64 / record.time.step_seconds)
    assert record.sharpening.unsharpened == plain.time
    (row,) = record.sharpening.measured
    assert (row.recipe, row.batch_size, row.machine) == ("bert-mini-mlm", 64, measured.machine.title)
    assert row.step_seconds / row.predicted_seconds == pytest.approx(1.1)
    assert load_records(write(record)) == [record]


def test_another_batch_helps_less_and_on_the_same_machine_more(measured, cache, write):
    other = RECIPE.with_options(batch_size=32)
    path = write(measured)
    pairs = (("rtx-3090", RECIPE), ("rtx-3090", other), ("rtx-4090", RECIPE), ("rtx-4090", other))
    intervals = [sharpened(path, cache, machine, recipe).time.interval_seconds for machine, recipe in pairs]
    widths = [high / low for low, high in intervals]
    assert widths == sorted(widths)


def test_phases_enter(measured, cache, write):
    phases = [
        PhaseMeasured(name=name, seconds=share * measured.time.step_seconds)
        for name, share in (("forward", 0.3), ("backward", 0.5), ("optimizer", 0.15), ("other", 0.05))
    ]
    found, _ = read_measured([write(measured.model_copy(update={"phases": phases}))], RECIPE, cache)
    assert len(found.observed) == 4
    assert len(found.measured) == 1


def test_another_kind_of_device_changes_nothing_and_says_so(measured, cache, write):
    record = sharpened(write(measured), cache, "laptop-16gb")
    assert record.sharpening is None
    assert record.time == fit(RECIPE, [record.machine], cache=cache, command=[])[0].time
    assert any("says nothing" in warning for warning in record.warnings)


def test_doubts_are_named(measured, cache, write):
    time = measured.time.model_copy(update={"step_seconds": 4 * measured.time.step_seconds})
    packages = measured.environment.packages | {"torch": "1.12.1"}
    environment = measured.environment.model_copy(update={"packages": packages})
    record = sharpened(write(measured.model_copy(update={"time": time, "environment": environment})), cache)
    assert any("times what is predicted there" in warning for warning in record.warnings)
    assert any("torch 1.12.1" in warning for warning in record.warnings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "prediction"}, "is a prediction"),
        ({"failure": Failure(kind="out-of-memory", phase="warm-up", steps_done=0, message="m")}, "no measured step"),
        ({"time": Time(step_seconds=-1.0)}, "no measured step"),
        ({"backend": "onnx-cpu"}, "ran with onnx-cpu"),
        ({"recipe": RECIPE.with_options(model="bert-base")}, "another model than bert-mini"),
        ({"recipe": RECIPE.with_options(compile=True)}, "only one of the two is compiled"),
    ],
)
def test_what_cannot_help_is_refused_in_one_line(measured, cache, write, changes, message):
    path = write(measured.model_copy(update=changes))
    with pytest.raises(RecordError, match=message) as refused:
        read_measured([path], RECIPE, cache)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_record_of_use_is_enough(measured, cache, write):
    found, left = read_measured([write(measured, measured.model_copy(update={"kind": "prediction"}))], RECIPE, cache)
    assert len(found.measured) == len(left) == 1


def published(group):
    """(row, trace, machine, key of the step, observations) of every published time of a group."""
    found, traces = [], {}
    with as_file(files("sslbench.bench.published").joinpath("steps.py")) as steps:
        for row in published_rows():
            if row.group == group and row.metric == "seconds":
                machine = find_machine(row.machine)
                recipe = resolve_recipe(row.recipe.replace("steps.py:", f"{steps}:"), {"options": row.settings})
                key = step_key(recipe), target_of(machine.device)
                if key not in traces:
                    traces[key] = TraceSource(recipe, TraceCache(None)).run_trace(machine.device)
                observed = observe(
                    traces[key], machine, key[0], seconds=row.value, phase_seconds={}, sigma=REPEATED_SIGMA
                )
                found.append((row, traces[key], machine, key[0], observed))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("group", "most"), [("attention-training", 0.045), ("resnet50-training", 0.055)])
def test_published_times_are_predicted_better_from_all_others_of_their_model(group, most):
    """docs/accuracy.md has the figures; what was measured on other cards counts, too, for ResNet-50."""
    found = published(group)
    errors = {False: [], True: []}
    inside = []
    for row, trace, machine, key, _ in found:
        others = [
            each
            for other, _, there, step, observed in found
            for each in observed
            if (step, there) != (key, machine) and other.settings.get("model") == row.settings.get("model")
        ]
        time = sharpen(trace, machine, key, others)
        errors[False].append(abs(predict_time(trace, machine).step_seconds / row.value - 1))
        errors[True].append(abs(time.step_seconds / row.value - 1))
        inside.append(time.interval_seconds[0] <= row.value <= time.interval_seconds[1])
    assert mean(errors[True]) <= min(most, mean(errors[False]))
    assert mean(inside) >= 0.85


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--measured", "missing.json"], "missing.json: No such file"),
        (["--measured", "empty.json"], "empty.json"),
        (["--measured", "empty.json", "--backend", "onnx-cpu", "--stage", "infer"], "--measured sharpens"),
    ],
)
def test_careless_commands_are_one_line_and_exit_2(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("[]", encoding="utf-8")
    done = CliRunner().invoke(cli, ["fit", "bert-mini-mlm", "--machine", "rtx-4090", *arguments])
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
