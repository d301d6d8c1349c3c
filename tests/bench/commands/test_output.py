import webbrowser
from pathlib import Path

import click
import pytest

from sslbench.bench.commands.output import check_open, emit, file_format, open_page
from sslbench.bench.errors import OutputError
from sslbench.bench.record import load_records

RECORDS = load_records(Path(__file__).parents[2] / "data" / "records" / "prediction-fits.json")


@pytest.mark.parametrize(
    ("name", "begins"),
    [("x.html", "<!DOCTYPE html>"), ("x.HTM", "<!DOCTYPE html>"), ("x.md", "## "), ("x.json", "{"), ("x", "{")],
)
def test_the_name_of_a_file_says_what_is_written(tmp_path, name, begins, capsys):
    emit(RECORDS, format_="text", output=tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    assert f"{tmp_path / name}" in capsys.readouterr().err


def test_a_name_that_asks_for_nothing_gets_what_the_command_writes():
    assert file_format(Path("a.txt")) == "json"
    assert file_format(Path("a.txt"), otherwise="html") == "html"


@pytest.mark.parametrize("output", [None, Path("x.json"), Path("x.md")])
def test_only_a_page_can_be_opened(output):
    with pytest.raises(click.UsageError, match=r"-o report\.html"):
        check_open(output, open_=True)
    check_open(output, open_=False)
    check_open(Path("x.html"), open_=True)


def test_a_page_is_opened_by_its_address(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    emit(RECORDS, format_="text", output=tmp_path / "a b.html", open_=True)
    assert opened == [(tmp_path / "a b.html").resolve().as_uri()]


def test_without_a_browser_the_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    with pytest.raises(OutputError, match="open the file yourself"):
        open_page(tmp_path / "x.html")
