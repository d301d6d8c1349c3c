"""`sslbench snapshot` and `compare` with its file, as a person runs them."""

import json

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli

STEP = """
import torch

def build(device, batch_size=16, width=64):
    model = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU()).to(device)
    x = torch.randn(batch_size, width, device=device)
    return lambda: model(x).square().mean().backward()
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_step.py").write_text(STEP, encoding="utf-8")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_a_baseline_is_written_and_the_same_code_passes(project):
    taken = run("snapshot", "my_step.py:build", "--set", "width=32", "--machine", "cuda", "--machine", "cpu")
    assert taken.exit_code == 0, taken.output
    assert "my_step.py:build width=32 on cuda: " in taken.output
    table = json.loads((project / "baseline.json").read_text(encoding="utf-8"))
    assert [step["changes"] for step in table["steps"]] == [{"options": {"width": 32}}] * 2
    compared = run("compare", "baseline.json", "--against", ".")
    assert compared.exit_code == 0, compared.output
    assert "0 %" in compared.output


def test_a_regression_ends_with_1_and_names_the_line(project):
    run("snapshot", "my_step.py:build", "--batch-size", "4096")
    changed = STEP.replace("model(x).square()", "model(x).square().exp()")
    (project / "my_step.py").write_text(changed, encoding="utf-8")
    compared = run("compare", "baseline.json")
    assert compared.exit_code == 1
    assert "my_step.py:7" in compared.output
    loose = ["--max-memory", "1000%", "--max-flops", "10%", "--max-launches", "1000%", "--max-bytes", "1000%"]
    assert run("compare", "baseline.json", *loose).exit_code == 0
    assert json.loads(run("compare", "baseline.json", "--format", "json").output)["schema"] == "sslbench.comparison/1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["snapshot"], "Missing argument"),
        (["snapshot", "none.py:build"], "no such file"),
        (["snapshot", "my_step.py:build", "--machine", "rtx-9999"], "no machine is named"),
        (["snapshot", "my_step.py:build", "-o", "none/x.json"], "cannot be written"),
        (["snapshot", "my_step.py:build", "--set", "depth=3"], "takes no 'depth'"),
    ],
)
def test_careless_input_is_one_line(project, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert not (project / "baseline.json").exists()
