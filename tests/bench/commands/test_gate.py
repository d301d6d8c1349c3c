"""compare, ab and history as a person runs them."""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.record import dump_records, load_records

RECORD = load_records(Path(__file__).parents[2] / "data" / "records" / "profile-cpu.json")[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Measured records of one step: base.json, slow.json (twice as long), other.json (another torch)."""
    monkeypatch.chdir(tmp_path)
    samples = np.random.default_rng(1).lognormal(-3, 0.01, 60)
    time, slow = (
        RECORD.time.model_copy(update={"samples_seconds": (factor * samples).tolist(), "step_seconds": factor * 0.05})
        for factor in (1, 2)
    )
    other = RECORD.environment.model_copy(update={"packages": {"torch": "9.9.9"}})
    quiet = None if RECORD.state is None else RECORD.state.model_copy(update={"others_cpu_share": 0.0})
    base = RECORD.model_copy(update={"state": quiet, "time": time})
    later = RECORD.created + timedelta(days=1)
    Path("base.json").write_text(dump_records([base]))
    Path("slow.json").write_text(dump_records([base.model_copy(update={"time": slow, "created": later})]))
    Path("other.json").write_text(dump_records([base.model_copy(update={"environment": other})]))
    return tmp_path


def run(*arguments):
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


@pytest.mark.parametrize(("new", "code"), [("base.json", 0), ("slow.json", 1), ("other.json", 2)])
def test_the_exit_code_says_what_was_found(folder, new, code):
    assert run("compare", "base.json", new).exit_code == code


def test_a_limit_and_an_allowance_are_taken(folder):
    assert run("compare", "base.json", "slow.json", "--max-slowdown", "150%").exit_code == 0
    assert run("compare", "base.json", "other.json", "--allow", "versions").exit_code == 0


def test_every_output_is_written(folder):
    kinds = ("text", "markdown", "html", "json", "github", "junit", "sarif", "benchmark-action", "bencher")
    wanted = [word for kind in kinds for word in ("-o", f"{kind}=out.{kind}")]
    done = run("compare", "base.json", "slow.json", "--format", "markdown", *wanted)
    assert done.exit_code == 1
    assert all(Path(f"out.{kind}").stat().st_size > 0 for kind in kinds)
    assert Path("out.markdown").read_text() == done.output
    assert json.loads(Path("out.json").read_text())["exit_code"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "base.json"], "Missing argument 'NEW'"),
        (["compare", "base.json", "slow.json", "--against", "."], "name one of them"),
        (["compare", "gone.json", "slow.json"], "gone.json: No such file"),
        (["compare", "base.json", "notes.txt"], "notes.txt: is not JSON"),
        (["compare", "base.json", "slow.json", "--max-slowdown", "fast"], "is not a share"),
        (["compare", "base.json", "slow.json", "--max-slowdown", "-3%"], "is not a share"),
        (["compare", "base.json", "slow.json", "--max-memory", "64 apples"], "is not a share"),
        (["compare", "base.json", "slow.json", "-o", "junit"], "is not KIND=PATH"),
        (["compare", "base.json", "slow.json", "-o", "junit=nowhere/x.xml"], "nowhere/x.xml: cannot be written"),
        (["compare", "base.json", "slow.json", "--allow", "everything"], "everything"),
        (["history", "gone"], "gone: No such file"),
        (["history", "empty"], "holds no .json or .jsonl file"),
        (["history", ".", "--recipe", "nothing-like-it"], "no such step"),
        (["history", ".", "--branch", "gone"], "not a git repository"),
        (["ab", "HEAD", ".", "bert-mini-mlm"], "part of sslbench"),
        (["ab", "HEAD", ".", "my_step.py:build"], "lies in no git repository"),
    ],
)
def test_bad_input_is_one_line_and_code_2(folder, arguments, words):
    Path("notes.txt").write_text("no JSON")
    Path("empty").mkdir()
    Path("my_step.py").write_text("def build(device): ...")
    if arguments[0] == "history" and arguments[1] == ".":
        Path("notes.txt").unlink()
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.output
    assert "Traceback" not in done.output


def test_history_shows_every_metric_of_the_step(folder):
    done = run("history", folder)
    assert done.exit_code == 0
    assert "step time" in done.output
    (step,) = json.loads(run("history", folder, "--format", "json").output)["steps"]
    assert {trend["metric"] for trend in step["trends"]} >= {"time.step_seconds", "memory.required_bytes"}
    assert run("history", folder, "--format", "markdown").output.startswith("### ")


def test_history_is_written_as_a_page_and_as_data_that_a_report_takes(folder):
    for name in ("h.html", "h.md", "h.json"):
        assert run("history", "base.json", "-o", name).exit_code == 0
    assert "History: no change in" in Path("h.html").read_text(encoding="utf-8")
    assert Path("h.md").read_text(encoding="utf-8").startswith("### ")
    assert run("report", "h.json", "slow.json", "-o", "both.html").exit_code == 0
    assert 'id="history-1"' in Path("both.html").read_text(encoding="utf-8")
