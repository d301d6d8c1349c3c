import json
import subprocess
import sys
import tomllib

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.recipe import parse_recipe
from sslbench.kernels.catalog import recipe_tables, recipe_work


def run(*arguments):
    return CliRunner().invoke(cli, ["recipes", *arguments])


def test_the_list_has_every_recipe_on_its_own_line():
    result = run()
    assert result.exit_code == 0
    for name, table in recipe_tables().items():
        line = next(line for line in result.stdout.splitlines() if line.split()[:1] == [name])
        assert table["model"] in line
        assert table["objective"] in line
        assert f" {table['batch_size']} " in line
        assert table["paper"].removeprefix("https://") in line


def test_the_list_says_parameters_work_and_size_of_a_sample():
    lines = {line.split()[0]: line.split() for line in run().stdout.splitlines() if line.strip()}
    assert lines["bert-base-mlm"][3:8] == ["110", "M", "369", "GFLOP", "32"]
    assert lines["clip-vit-b-16"][8:12] == ["224", "px,", "77", "tokens"]
    assert lines["hubert-base"][8:10] == ["15.6", "s"]


def test_the_list_as_json_is_a_list_of_recipes():
    tables = json.loads(run("--format", "json").stdout)
    assert [table["name"] for table in tables] == list(recipe_tables())
    for table in tables:
        work = table.pop("work")
        assert work == recipe_work()[table["name"]]._asdict()
        assert parse_recipe(table, where="json").batch_size


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("simclr", ["simclr-resnet18", "simclr-resnet50", "simclr-vit-b-16"]),
        ("SIMCLR RESNET 18", ["simclr-resnet18"]),
        ("masked language laptop", ["bert-mini-mlm"]),
    ],
)
def test_search_finds_what_holds_every_word(text, names):
    assert [table["name"] for table in json.loads(run("search", text, "--format", "json").stdout)] == names
    assert all(name in run("search", text).stdout for name in names)


def test_search_says_when_nothing_is_found():
    result = run("search", "nothing like it")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no recipe holds 'nothing like it'" in result.stderr
    assert json.loads(run("search", "nothing like it", "--format", "json").stdout) == []


@pytest.mark.parametrize("name", recipe_tables())
def test_show_prints_toml_that_is_the_recipe(name, tmp_path):
    shown = run("show", name).stdout
    assert tomllib.loads(shown) == recipe_tables()[name]
    (tmp_path / "copy.toml").write_text(shown)
    assert run("show", str(tmp_path / "copy.toml")).stdout == shown
    assert json.loads(run("show", name, "--format", "json").stdout)["name"] == name


def test_show_checks_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('objective = "mlm"\nbatch_size = 0\n')
    result = run("show", str(path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"sslbench: {path}: batch_size:")


def test_an_unknown_recipe_is_one_line_and_exit_code_2():
    result = run("show", "bert-bas-mlm")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "did you mean bert-base-mlm?" in result.stderr


def test_recipes_imports_no_torch():
    code = (
        "import sys; from sslbench.bench.cli import cli; cli(['recipes'], standalone_mode=False);"
        "sys.exit('torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr
