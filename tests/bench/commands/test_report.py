from pathlib import Path

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.record import Record, load_records

SAMPLES = sorted((Path(__file__).parents[2] / "data" / "records").glob("*.json"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["report", *map(str, arguments)])


def test_a_report_is_written_and_its_path_printed(run, tmp_path):
    result = run(*SAMPLES)
    assert (result.exit_code, result.stdout) == (0, "report.html\n")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_format_follows_the_name_or_the_option(run, tmp_path):
    assert run(*SAMPLES, "-o", "r.md").exit_code == 0
    assert (tmp_path / "r.md").read_text(encoding="utf-8").startswith("## ")
    assert run(*SAMPLES, "-o", "r.json").exit_code == 0
    assert load_records(tmp_path / "r.json") == [record for path in SAMPLES for record in load_records(path)]
    assert run(*SAMPLES, "-o", "r.txt", "--format", "markdown", "--title", "Mine").exit_code == 0
    assert (tmp_path / "r.txt").read_text(encoding="utf-8").startswith("## Mine\n")


def test_a_dash_is_standard_output(run, tmp_path):
    result = run(SAMPLES[0], "-o", "-", "--format", "json")
    assert [Record.model_validate_json(result.stdout)] == load_records(SAMPLES[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "bad.json: No such file"),
        ("{", "bad.json: is not JSON"),
        ('{"schema": "sslbench.record/2"}', "newer sslbench"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, tmp_path, text, problem):
    if text is not None:
        (tmp_path / "bad.json").write_text(text, encoding="utf-8")
    result = run(SAMPLES[0], "bad.json")
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_cannot_be_written_says_where(run):
    result = run(SAMPLES[0], "-o", "missing/report.html")
    assert result.exit_code == 2
    assert "missing/report.html: cannot be written" in result.stderr


def test_no_file_is_a_usage_error(run):
    assert run().exit_code == 2


def test_reports_are_merged_with_records(run, tmp_path):
    assert run(*SAMPLES[:2], "-o", "a.html").exit_code == 0
    assert run("a.html", *SAMPLES[2:], "-o", "all.json").exit_code == 0
    assert load_records(tmp_path / "all.json") == [record for path in SAMPLES for record in load_records(path)]


def test_an_index_lists_the_reports_and_replaces_none(run, tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "other.html").write_text("<p>", encoding="utf-8")
    assert run(*SAMPLES, "-o", "reports/a.html").exit_code == 0
    result = run("--index", "reports")
    assert (result.exit_code, result.stdout) == (0, f"{Path('reports/index.html')}\n")
    assert result.stderr.startswith("sslbench: left out reports/other.html: is no report")
    assert 'href="a.html"' in (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    assert run("--index", "reports").exit_code == 0
    result = run("--index", "reports", "-o", "reports/a.html")
    assert result.exit_code == 2
    assert "is a report, which the index would replace" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--index", ".", SAMPLES[0]], ["--index", ".", "--format", "json"], [SAMPLES[0], "-o", "-", "--open"]]
)
def test_options_that_do_not_go_together_are_usage_errors(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error: --" in result.stderr
