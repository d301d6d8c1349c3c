import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sslbench.bench import cli
from sslbench.bench.errors import RecipeError

HEAVY = ("torch", "transformers", "onnxruntime", "jinja2")


def sslbench(*arguments, **options):
    """The command in a process of its own."""
    command = [sys.executable, "-c", "from sslbench.bench.cli import run; run()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def imported(*arguments):
    """Top-level modules that a command has imported by its end."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(name for name in sys.modules if '.' not in name))))\n"
        "from sslbench.bench.cli import run\n"
        "run()"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_no_library_but_click():
    assert imported("--help").isdisjoint({*HEAVY, "rich", "numpy", "pydantic", "psutil"})


@pytest.mark.parametrize(
    "arguments", [("machines",), ("recipes",), ("machines", "show", "h200"), ("recipes", "show", "bert-base-mlm")]
)
def test_lists_import_no_framework(arguments):
    assert imported(*arguments).isdisjoint(HEAVY)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_commands_help_imports_no_framework(name):
    assert imported(name, "--help").isdisjoint({"torch", "transformers", "onnxruntime"})


def test_version():
    assert sslbench("--version").stdout.split()[-1] == version("sslbench")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["fitt"], "fitt"),
        (["fit"], "RECIPE"),
        (["fit", "bert-base-mlm", "--stage", "both"], "both"),
        (["fit", "bert-bass-mlm"], "did you mean bert-base-mlm?"),
        (["machines", "show", "rtx-309O"], "rtx-309O"),
        (["report", "missing.json"], "missing.json"),
        (["demo", "--seconds", "0"], "--seconds"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, problem, tmp_path):
    result = sslbench(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1


def test_debug_shows_the_traceback():
    result = sslbench("--debug", "recipes", "show", "none")
    assert "Traceback" in result.stderr
    assert "RecipeError" in result.stderr


def _run_main(monkeypatch, error):
    def interrupted(*_, **__):
        raise error

    monkeypatch.setattr(cli.cli, "main", interrupted)
    with pytest.raises(SystemExit) as raised:
        cli.main()
    return raised.value.code


def test_ctrl_c_is_one_line_and_exit_code_2(monkeypatch, capsys):
    assert _run_main(monkeypatch, KeyboardInterrupt()) == cli.EXIT_COULD_NOT_RUN
    assert capsys.readouterr().err == "sslbench: interrupted\n"


def test_a_reader_that_closes_the_pipe_is_no_error():
    command = [sys.executable, "-c", "from sslbench.bench.cli import run; run()", "machines"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert b"Traceback" not in errors


def test_errors_of_several_lines_become_one(monkeypatch, capsys):
    def fail(name):
        raise RecipeError("first\nsecond")

    monkeypatch.setattr(cli.importlib, "import_module", fail)
    monkeypatch.setattr(sys, "argv", ["sslbench", "recipes"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err == "sslbench: first second\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here, a file on a full disk")
def test_a_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", "from sslbench.bench.cli import run; run()", "recipes", "--format", "json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "sslbench: the answer cannot be printed: No space left on device\n")
