import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.record import load_records
from sslbench.reports.html import render_html

RECORDS = Path(__file__).parents[2] / "data" / "records"
MEASURED, PREDICTED = RECORDS / "profile-cpu.json", RECORDS / "prediction-fits.json"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = render_html([*load_records(MEASURED)])
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    (tmp_path / "edited.html").write_text(page.replace("</main>", "<p>7 ms</p></main>"), encoding="utf-8")
    return lambda *arguments: CliRunner().invoke(cli, ["verify", "--no-predictions", *map(str, arguments)])


def test_a_report_that_holds(run):
    result = run("report.html")
    assert result.exit_code == 0, result.output
    assert "All of it holds." in result.stdout
    assert "a measurement cannot be made again" in result.stdout


def test_an_edited_report_does_not_hold(run):
    result = run("report.html", "edited.html")
    assert result.exit_code == 1
    assert "says 7 ms, which nothing gives" in result.stdout


def test_what_was_not_checked_is_not_said_to_hold(run):
    result = run(PREDICTED)
    assert result.exit_code == 3
    assert "What could be checked holds; 1 of 1 could not be checked in full." in result.stdout


def test_as_json_one_file_is_an_object_and_several_are_a_list(run):
    table = json.loads(run("edited.html", "--format", "json").stdout)
    assert (table["schema"], table["exit_code"]) == ("sslbench.verification/1", 1)
    (difference,) = [each for check in table["checks"] for each in check["differences"] if each["says"] == "7 ms"]
    assert difference["expected"] == ""
    assert [each["file"] for each in json.loads(run("report.html", MEASURED, "--format", "json").stdout)] == [
        "report.html",
        str(MEASURED),
    ]


def test_as_markdown_nothing_is_markup(run, tmp_path):
    (tmp_path / "edited.html").write_text(
        (tmp_path / "report.html").read_text(encoding="utf-8").replace("</main>", "<p>| ![x](y) &lt;b&gt;</p></main>"),
        encoding="utf-8",
    )
    text = run("edited.html", "--format", "markdown").stdout
    assert text.startswith("## ")
    assert r"says \| \!\[x\](y) \<b\>" in text


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("missing.html", None, "missing.html: No such file"),
        ("other.html", "<p>hello", "other.html: is no report of sslbench"),
        ("half.json", "{", "half.json: is not JSON"),
    ],
)
def test_what_cannot_be_read_is_one_line(run, tmp_path, name, text, problem):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    result = run(name)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1
