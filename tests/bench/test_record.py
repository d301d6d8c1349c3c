import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslbench.bench import record as record_module
from sslbench.bench.errors import RecordError
from sslbench.bench.measured import Data
from sslbench.bench.quantities import Energy, Environment, Memory, Time, Work
from sslbench.bench.recipe import Recipe
from sslbench.bench.record import Record, dump_records, load_records

SAMPLES = sorted((Path(__file__).parents[1] / "data" / "records").glob("*.json"))
SCHEMA_PATH = Path(record_module.__file__).with_name("record.schema.json")
SAMPLE = load_records(SAMPLES[0])[0]


def write(tmp_path, text):
    path = tmp_path / "records.json"
    path.write_text(text, encoding="utf-8")
    return path


def one_line(record):
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False)


def test_the_committed_schema_is_that_of_the_class():
    expected = Record.model_json_schema(by_alias=True)
    committed = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    assert committed == expected, "write Record.model_json_schema(by_alias=True) to the schema file"


def test_the_committed_schema_is_a_json_schema():
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_old_record_files_stay_readable_and_follow_the_schema(path):
    table = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(table, json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))
    (record,) = load_records(path)
    assert record.machine.name == table["machine"]["name"]
    assert record.recipe.name == table["recipe"]["name"]
    assert record.memory.required_bytes == table["memory"]["required_bytes"]


def test_every_kind_of_verdict_is_among_the_samples():
    records = [record for path in SAMPLES for record in load_records(path)]
    assert {record.verdict for record in records} == {"fits", "tight", "does-not-fit", None}
    assert any(len(record.time.samples_seconds) == 30 for record in records)


text = st.text(max_size=20)
names = st.text(min_size=1, max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
sizes = st.integers(min_value=0, max_value=2**62)
records = st.builds(
    Record,
    kind=st.sampled_from(["prediction", "measurement"]),
    created=st.datetimes(timezones=st.just(UTC)),
    backend=st.sampled_from(["torch-cuda", "torch-cpu", "onnx-cpu", "onnx-cuda"]),
    recipe=st.builds(
        Recipe,
        name=names,
        title=text,
        objective=text,
        batch_size=st.none() | st.integers(1, 2**31 - 1),
        options=st.dictionaries(text, st.booleans() | st.integers(-(2**60), 2**60) | finite | text, max_size=4),
    ),
    machine=st.just(SAMPLE.machine),
    environment=st.builds(
        Environment, sslbench=text, python=text, platform=text, processor=text, packages=st.dictionaries(text, text)
    ),
    command=st.lists(text, max_size=4),
    memory=st.builds(
        Memory,
        required_bytes=st.none() | sizes,
        interval_bytes=st.none() | st.tuples(finite, finite),
        breakdown=st.dictionaries(text, sizes, max_size=4),
    ),
    time=st.builds(Time, step_seconds=st.none() | finite, samples_seconds=st.lists(finite, max_size=5)),
    energy=st.builds(Energy, joules_per_step=st.none() | finite),
    data=st.none()
    | st.builds(
        Data,
        kind=st.sampled_from(["images", "text"]),
        source=text,
        items=sizes,
        loader_samples_per_second=finite,
        step_seconds=finite,
        samples_per_second=finite,
        samples_seconds=st.lists(finite, max_size=3),
        limit=st.sampled_from(["loader", "model"]),
    ),
    work=st.builds(Work, flops=st.none() | sizes),
    verdict=st.sampled_from([None, "fits", "tight", "does-not-fit", "spills"]),
    probability_fits=st.none() | st.floats(0, 1),
    max_batch_size=st.none() | st.integers(0, 2**40),
    unknown=st.dictionaries(text, text, max_size=3),
    warnings=st.lists(text, max_size=3),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records, min_size=1, max_size=3))
def test_what_is_written_is_read_back(tmp_path, written):
    assert load_records(write(tmp_path, dump_records(written))) == written
    lines = "\n".join(map(one_line, written))
    assert load_records(write(tmp_path, lines)) == written


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_cut_file_is_named_with_its_line(tmp_path, data):
    whole = dump_records([SAMPLE])
    path = write(tmp_path, whole[: data.draw(st.integers(1, len(whole) - 3))])
    with pytest.raises(RecordError, match=r"records\.json: is not JSON: .+ at line \d+ column \d+$"):
        load_records(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_garbage_is_an_error_that_names_the_file(tmp_path, garbage):
    path = tmp_path / "records.json"
    path.write_bytes(garbage)
    with pytest.raises(RecordError, match=r"records\.json"):
        load_records(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no record"),
        ("[]", "holds no record"),
        ("[1]", "record 1: is not a record of sslbench"),
        ('{"schema": "sslbench.machine/1"}', "its schema is 'sslbench.machine/1', expected 'sslbench.record/1'"),
        ('{"schema": "sslbench.record/2"}', "was written by a newer sslbench"),
        ('{"schema": "sslbench.record/99999999999999999999"}', "was written by a newer sslbench"),
        ('{"schema": "sslbench.record/²"}', "schema: input should be"),
        ('{"schema": "sslbench.record/1"}', "kind is missing"),
        ("[" * 100_000, "nesting too deep"),
        ("9" * 5000, "a number is too long"),
        ("{}\n" + "9" * 5000, "line 2: is not a record: a number is too long"),
        (one_line(SAMPLE) + '\n{"schema": "sslb', "at line 2 column"),
        (
            one_line(SAMPLE) + "\n" + one_line(SAMPLE).replace('"kind": "', '"kind": "x'),
            "line 2: kind: input should be",
        ),
        (one_line(SAMPLE).replace('"verdict": null', '"verdict": NaN'), "verdict: input should be"),
        (one_line(SAMPLE).replace('"step_seconds": ', '"step_seconds": 1e999, "x": '), "should be a finite number"),
        (one_line(SAMPLE).replace('"title": "BERT', '"title": "\\ud800 BERT'), "half a surrogate pair"),
    ],
)
def test_a_bad_file_is_named_with_its_place_and_problem(tmp_path, text, problem):
    with pytest.raises(RecordError) as raised:
        load_records(write(tmp_path, text))
    message = str(raised.value)
    assert message.startswith(str(tmp_path / "records.json"))
    assert problem in message
    assert "\n" not in message
    assert len(message) < 400 + len(str(tmp_path))


def test_files_that_cannot_be_read_say_why(tmp_path):
    with pytest.raises(RecordError, match="No such file"):
        load_records(tmp_path / "missing.json")
    with pytest.raises(RecordError, match=r"directory|denied"):
        load_records(tmp_path)
    (tmp_path / "latin.json").write_bytes(b"\xe9\x00")
    with pytest.raises(RecordError, match="is not UTF-8 text"):
        load_records(tmp_path / "latin.json")


def test_a_byte_order_mark_is_no_problem(tmp_path):
    path = tmp_path / "records.json"
    path.write_text(dump_records([SAMPLE]), encoding="utf-8-sig")
    assert load_records(path) == [SAMPLE]


def test_half_a_surrogate_pair_from_a_file_name_is_written_as_a_question_mark(tmp_path):
    odd = SAMPLE.model_copy(update={"command": ["fit", "\udcff.toml"]})
    assert load_records(write(tmp_path, dump_records([odd])))[0].command == ["fit", "?.toml"]


def test_line_separators_inside_a_text_do_not_cut_a_line(tmp_path):
    odd = SAMPLE.model_copy(update={"warnings": ["a\u2028b\x85c"]})
    assert load_records(write(tmp_path, f"{one_line(odd)}\n{one_line(SAMPLE)}\n")) == [odd, SAMPLE]


def test_fields_of_a_later_version_are_ignored(tmp_path):
    table = SAMPLE.model_dump(mode="json") | {"later": 1}
    table["memory"]["later"] = 1
    assert load_records(write(tmp_path, json.dumps(table))) == [SAMPLE]


def test_created_must_name_its_time_zone(tmp_path):
    table = SAMPLE.model_dump(mode="json") | {"created": datetime(2026, 1, 1).isoformat()}
    with pytest.raises(RecordError, match="created: input should have timezone info"):
        load_records(write(tmp_path, json.dumps(table)))
