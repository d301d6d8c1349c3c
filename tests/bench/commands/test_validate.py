import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli

RECORD = Path(__file__).parents[2] / "data" / "records" / "measurement-cpu.json"
PREDICTION = RECORD.with_name("prediction-cpu.json")


def run(*arguments):
    return CliRunner().invoke(cli, ["validate", *map(str, arguments)])


def test_a_group_is_predicted_again_and_is_as_stated():
    result = run("--group", "trainer", "--format", "json")
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)
    assert [row["metric"] for row in table["accuracy"]] == ["allocated", "reserved", "device"]
    assert table["worse_than_stated"] == []
    assert len(table["rows"]) == 3


def test_rows_and_their_errors_are_printed():
    text = run("--group", "trainer", "--rows")
    assert "GPT2-reserved" in text.stdout
    assert "peak allocated" in text.stdout
    markdown = run("--group", "trainer", "--format", "markdown")
    assert markdown.stdout.startswith("| group | what | rows |")


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="what the rows need is here")
def test_rows_whose_packages_are_missing_are_left_out_and_named():
    result = run("--group", "timm-brackets")
    assert result.exit_code == 2
    assert "timm-brackets: timm and torchvision are missing: pip install 'sslbench[timm]'" in result.stderr


def test_a_measured_record_is_compared():
    result = run(RECORD, "--format", "json")
    assert result.exit_code == 0, result.output
    assert {row["metric"] for row in json.loads(result.stdout)["rows"]} >= {"device", "seconds"}


def test_files_without_a_measurement_say_so():
    result = run(PREDICTION)
    assert result.exit_code == 2
    assert "no measured record in these files" in result.stderr


def test_records_stand_beside_published_rows_that_are_asked_for():
    result = run(RECORD, "--group", "trainer", "--format", "json")
    assert result.exit_code == 0, result.output
    assert {row["group"] for row in json.loads(result.stdout)["rows"]} == {"torch-cpu", "trainer"}


def test_every_row_of_a_record_is_printed():
    text = run(RECORD).stdout
    assert "bert-mini-mlm train fp32, batch 8" in text
    assert "memory in use" in text


def test_records_that_cannot_be_compared_are_named(tmp_path):
    table = json.loads(RECORD.read_text()) | {"backend": "onnx-cuda"}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(table))
    result = run(RECORD, other, "--format", "json")
    assert result.exit_code == 0
    assert result.stderr == "sslbench: left out bert-mini-mlm on onnx-cuda: onnx-cuda is not predicted\n"
    assert run(other).exit_code == 2
    assert "nothing to compare: bert-mini-mlm on onnx-cuda" in run(other).stderr
