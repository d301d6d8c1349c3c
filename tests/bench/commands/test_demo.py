import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli, main
from sslbench.bench.commands import demo
from sslbench.bench.demo import Part
from sslbench.bench.errors import MeasureError
from sslbench.bench.record import load_records

SAMPLES = sorted((Path(__file__).parents[2] / "data" / "records").glob("*.json"))


def works(progress):
    return [record for path in SAMPLES for record in load_records(path)]


def fails(progress):
    raise MeasureError("no such backend here")


def interrupted(progress):
    raise KeyboardInterrupt


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*parts, arguments=()):
        tour = [Part(f"part {number}", run) for number, run in enumerate(parts, 1)]
        monkeypatch.setattr(demo, "tour", lambda **_: tour)
        return CliRunner().invoke(cli, ["demo", *arguments])

    return invoke


def test_a_part_that_fails_is_told_and_the_others_are_reported(run, tmp_path):
    result = run(fails, works)
    assert result.exit_code == 0
    assert "[ 1/2] part 1: no such backend here\n[ 2/2] part 2: done in" in result.stderr
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert load_records(tmp_path / "report.json") == works(None)
    assert f"report:  {tmp_path.resolve() / 'report.html'}" in result.stdout
    assert "does not fit" in result.stdout


def test_nothing_worked(run, tmp_path):
    result = run(fails, fails)
    assert result.exit_code == 2
    assert "no part of the demo worked" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["missing/report.html", "report.json"])
def test_where_it_cannot_be_written_nothing_is_measured(run, output):
    result = run(interrupted, arguments=["-o", output])
    assert result.exit_code == 2
    assert output in result.stderr


def test_ctrl_c_leaves_nothing(run, tmp_path, monkeypatch, capsys):
    run(works, interrupted)
    monkeypatch.setattr(sys, "argv", ["sslbench", "demo", "-o", "other.html"])
    (tmp_path / "report.html").unlink(missing_ok=True)
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "sslbench: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_the_records_name_their_commands(run, tmp_path):
    run(works, arguments=["-o", "mine.html"])
    assert all(table["command"] for table in json.loads((tmp_path / "mine.json").read_text("utf-8")))
