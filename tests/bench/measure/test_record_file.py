import json
import os
import resource
import signal
from pathlib import Path

import pytest

from sslbench.bench.environment import describe_environment
from sslbench.bench.errors import OutputError, RecordError
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measure.record_file import RecordFile, is_of, resume
from sslbench.bench.measured import Failure
from sslbench.bench.record import dump_records, load_records
from sslbench.bench.resolve import resolve_recipe

RECORDS = Path(__file__).parents[2] / "data" / "records"
SAMPLE = load_records(RECORDS / "measurement-cpu.json")[0]


def configuration(*words, changes=None, recipe="bert-mini-mlm", **fields):
    """One whose command says what it is."""
    resolved = resolve_recipe(recipe, changes or {})
    command = ("profile", recipe, *words, "--backend", "torch-cpu")
    return Configuration(**{"recipe": resolved, "backend": "torch-cpu", "command": command, **fields})


def record_of(one, *, ran=None, kind=None):
    """The record of a configuration, measured here."""
    failure = Failure(kind=kind, phase="build", steps_done=0, message="no") if kind else None
    update = {
        "recipe": ran or one.recipe,
        "backend": one.backend,
        "command": list(one.command),
        "environment": describe_environment(),
        "failure": failure,
    }
    return SAMPLE.model_copy(update=update)


PLAN = [configuration("--batch-size", str(size), changes={"batch_size": size}) for size in (8, 16, 32, 64)]


def test_the_file_is_whole_after_every_record_and_in_the_plan_s_order(tmp_path):
    file = RecordFile(tmp_path / "r.json")
    for count, number in enumerate((2, 0, 3), 1):
        file.add(number, record_of(PLAN[number]))
        assert len(load_records(tmp_path / "r.json")) == count == len(file)
    assert [record.recipe.batch_size for record in load_records(tmp_path / "r.json")] == [8, 32, 64]
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_one_record_a_line_where_the_name_says_so(tmp_path):
    file = RecordFile(tmp_path / "r.jsonl")
    records = [record_of(one) for one in PLAN[:2]]
    for number, record in enumerate(records):
        file.add(number, record)
    lines = (tmp_path / "r.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["recipe"]["batch_size"] for line in lines] == [8, 16]
    assert load_records(tmp_path / "r.jsonl") == records


def test_a_full_disk_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "r.json"
    file = RecordFile(path)
    file.add(0, record_of(PLAN[0]))
    before = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"r\.json: cannot be written: File too large"):
            file.add(1, record_of(PLAN[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["r.json"]  # noqa: PTH208
    assert len(file) == 1
    file.add(2, record_of(PLAN[2]))
    assert [record.recipe.batch_size for record in load_records(path)] == [8, 32]


def test_resuming_measures_what_is_missing_and_what_failed_without_running_out_of_memory(tmp_path):
    path = tmp_path / "r.json"
    other = record_of(configuration("--batch-size", "4", changes={"batch_size": 4}))
    kinds = {0: None, 1: "out-of-memory", 2: "killed"}
    records = [other, *(record_of(PLAN[number], kind=kind) for number, kind in kinds.items())]
    path.write_text(dump_records(records), "utf-8")
    file, done = resume(path, PLAN)
    assert done == {0: records[1], 1: records[2]}
    new = record_of(PLAN[3])
    file.add(3, new)
    assert load_records(path) == [*records, new]  # the failure stays until it is replaced
    again = record_of(PLAN[2])
    file.add(2, again)
    assert load_records(path) == [*records[:3], again, new]


def test_a_file_that_is_not_there_is_a_sweep_that_has_not_begun(tmp_path):
    file, done = resume(tmp_path / "r.json", PLAN)
    assert (len(file), done) == (0, {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ('{"schema": "other/1"}', "is not a record of sslbench"),
        ("[]", "holds no record"),
        ((RECORDS / "prediction-fits.json").read_text("utf-8"), "record 1 is a prediction"),
        (dump_records([record_of(PLAN[0]), SAMPLE]), "record 2 was measured on another machine"),
    ],
)
def test_a_foreign_file_is_refused_and_left_alone(tmp_path, text, problem):
    path = tmp_path / "r.json"
    path.write_text(text, "utf-8")
    with pytest.raises(RecordError, match=problem):
        resume(path, PLAN)
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize(
    "other",
    [
        configuration("--batch-size", "9", changes={"batch_size": 9}),
        configuration("--precision", "bf16", changes={"precision": "bf16"}),
        configuration("--set", "mask_ratio=0.4", changes={"options": {"mask_ratio": 0.4}}),
        configuration("--compile", changes={"compile": True}),
        configuration("--devices", "2", devices=2),
        configuration("--batch-size", "auto", auto_batch=True),
        configuration("--memory-limit", "1000"),
        configuration("--text", "a.txt"),
        configuration(backend="onnx-cpu"),
        configuration(recipe="simclr-resnet18"),
    ],
)
def test_another_configuration_is_not_the_same(other):
    here = configuration()
    assert is_of(record_of(here), here)
    assert is_of(record_of(other), other)
    assert not is_of(record_of(here), other)
    assert not is_of(record_of(other), here)


def test_what_is_named_and_what_is_the_recipe_s_own_are_the_same():
    assert is_of(record_of(configuration()), configuration("--batch-size", "8", changes={"batch_size": 8}))
    assert is_of(record_of(configuration("--steps", "9")), configuration("--max-seconds", "1"))


def test_a_largest_batch_is_known_by_its_command():
    auto = configuration("--batch-size", "auto", auto_batch=True)
    assert is_of(record_of(auto, ran=auto.recipe.with_options(batch_size=112)), auto)


def test_a_factory_s_own_size_is_known_by_its_command(tmp_path):
    (tmp_path / "step.py").write_text("", "utf-8")
    step = f"{tmp_path / 'step.py'}:build"
    default = configuration(recipe=step)
    named = configuration("--batch-size", "16", changes={"batch_size": 16}, recipe=step)
    ran = record_of(default, ran=default.recipe.with_options(batch_size=16))
    assert is_of(ran, default)
    assert is_of(ran, named)
    assert not is_of(record_of(named), default)
