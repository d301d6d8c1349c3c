"""Exports from a real command; what it prints is run as it stands."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.onnx.manifest import read_manifest
from sslbench.bench.onnx.session import open_training

SMALL = """
name = "tiny"
objective = "mlm"
model = "{model}"
batch_size = 2
seq_len = 8
"""
CONFIG = """{"model_type": "bert", "vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 1,
"num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 24}"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(CONFIG)
    (tmp_path / "tiny.toml").write_text(SMALL.format(model=tmp_path / "model"))
    monkeypatch.setenv("SSLBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    return "tiny.toml"


def export(*arguments):
    command = [sys.executable, "-P", "-c", "from sslbench.bench.cli import run; run()", "export", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_snippet(output):
    code = output[output.index("\nimport ") :]
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_an_inference_step_is_written_and_runs_as_printed(recipe, tmp_path):
    (tmp_path / "out").mkdir()
    done = export(recipe, "-o", "out/tiny.onnx")
    assert (done.returncode, done.stderr) == (0, "")
    assert files(tmp_path / "out") == ["tiny.inputs.npz", "tiny.onnx"]
    assert "input  tokens_bl: int64[batch, 8]" in done.stdout
    assert "float32[batch, 8, 120]" in done.stdout
    assert "checked against torch: off by at most" in done.stdout
    assert run_snippet(done.stdout) == "[(2, 8, 120)]\n"
    onnx.checker.check_model(tmp_path / "out" / "tiny.onnx", full_check=True)


@pytest.mark.slow
def test_a_training_step_is_written_and_runs_as_printed(recipe, tmp_path):
    (tmp_path / "out").mkdir()
    done = export(recipe, "--train", "-o", "out/tiny.onnx")
    assert (done.returncode, done.stderr) == (0, "")
    names = ["tiny.inputs.npz", "tiny.onnx", "tiny.state.npz", "tiny.training.json"]
    assert files(tmp_path / "out") == names
    assert "learning_rate: float64[]" in done.stdout
    losses = [float(line.split()[1]) for line in run_snippet(done.stdout).splitlines()]
    assert len(set(losses)) == 10  # masks and dropout are drawn anew, weights move
    assert np.isfinite(losses).all()

    for name in names[:]:
        target = "training.json" if name.endswith("json") else name.replace("tiny.", "")
        (tmp_path / "out" / name).rename(tmp_path / "out" / target.replace("onnx", "model.onnx"))
    assert read_manifest(tmp_path / "out").recipe == "tiny"
    assert np.isfinite(open_training(tmp_path / "out").step())


def test_an_earlier_export_is_replaced_with_all_that_lay_beside_it(recipe, tmp_path):
    (tmp_path / "tiny.onnx").write_text("old")
    (tmp_path / "tiny.onnx.data").write_text("weights of a larger model")
    result = CliRunner().invoke(cli, ["export", recipe, "-o", "tiny.onnx"])
    assert result.exit_code == 0, result.output
    assert onnx.load("tiny.onnx").graph.node
    assert not (tmp_path / "tiny.onnx.data").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "--stage", "infer"], "--train is the training step"),
        (["--train", "--opset", "18"], "--opset goes with an inference step"),
        (["--opset", "999"], "has none newer than"),
        (["--precision", "bf16"], "--precision bf16: models are exported in fp32"),
        (["--train", "--precision", "fp16"], "exported in fp32 only, not fp16"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(recipe, tmp_path, arguments, message):
    before = files(tmp_path)
    result = CliRunner().invoke(cli, ["export", recipe, "-o", "tiny.onnx", *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert [name for name in files(tmp_path) if name != "cache"] == before


def test_a_folder_that_is_not_there_is_said_before_anything_is_exported(recipe):
    result = CliRunner().invoke(cli, ["export", recipe, "-o", "missing/tiny.onnx"])
    assert result.exit_code == 2
    assert "is no folder that you may write to" in result.output
