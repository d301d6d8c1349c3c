"""`sslbench probe` from the command line, with a suite of a few small kernels."""

import json

import pytest
import torch
from click.testing import CliRunner

from sslbench.bench.cli import cli
from sslbench.bench.probe import probe as probing
from sslbench.hardware_profiles.kept import FOLDER_VARIABLE
from sslbench.hardware_profiles.loader import load_machine, load_profile

SUITE = {
    ("matmul", "fp32"): ((64, 64, 64), (96, 96, 96)),
    ("copy", "fp32"): ((2**16,), (2**20,)),
    ("dispatch", "fp32"): ((),),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "kept"))
    monkeypatch.setattr(probing, "suite_of", lambda device: SUITE)
    monkeypatch.setattr(probing, "SECONDS", {"cpu": 0.1})
    monkeypatch.setattr(probing, "_WARM_UP_SECONDS", 0.0)
    return lambda *arguments: CliRunner().invoke(cli, ["probe", "--device", "cpu", *arguments])


def test_what_is_kept_is_here(run, tmp_path):
    result = run()
    assert result.exit_code == 0, result.output
    assert "dense peak, fp32" in result.stdout
    (path,) = (tmp_path / "kept" / "probes").glob("*.toml")
    assert f"profile: {path} (--machine here uses it)" in result.stderr
    page = path.with_suffix(".html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<svg viewBox") == 2
    kept = load_profile(path)
    assert [timing.kernel for timing in kept.device.kernels] == ["matmul", "copy", "dispatch"]
    assert kept.probe.threads == torch.get_num_threads()
    if load_machine("here").device.kind == "cpu":
        assert load_machine("here").device.kernels == kept.device.kernels


@pytest.mark.parametrize("format_", ["json", "markdown"])
def test_a_file_of_ones_own(run, tmp_path, format_):
    result = run("-o", "lab.toml", "--quick", "--format", format_)
    assert result.exit_code == 0, result.output
    assert "--machine lab.toml uses it" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab.html", "lab.toml"]
    machine = load_machine(str(tmp_path / "lab.toml"))
    if format_ == "json":
        assert json.loads(result.stdout)["device"]["kernels"][0]["kernel"] == "matmul"
    else:
        assert "| matmul, fp32 | m x n x k |" in result.stdout
    assert machine.device.memory_bandwidth_bytes_per_second.basis == "measured"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("-o", "lab.json"), "a profile's name ends in .toml"),
        (("-o", "missing/lab.toml"), "is no folder that you may write to"),
        (("--device", "tpu"), "'tpu' is not one of 'cpu', 'cuda'"),
        (("--seconds", "3"), "No such option"),
    ],
)
def test_careless_input(run, tmp_path, arguments, problem):
    result = run(*arguments)
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert problem in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what is said without a GPU")
def test_without_a_gpu(run, tmp_path):
    result = run("--device", "cuda")
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert result.stderr.startswith("sslbench: torch-cuda: ")


def test_an_interruption_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(probing, "run_suite", interrupted)
    assert run("-o", "lab.toml").exit_code == 1  # CliRunner's own; the script says "interrupted" and exits with 2
    assert list(tmp_path.iterdir()) == []


def test_again_keeps_the_faster_of_both(run, tmp_path):
    result = run("-o", "lab.toml", "--again")
    assert result.exit_code == 0, result.output
    assert "lab.toml is not there yet: this is the first probe" in result.stderr
    first = load_profile(tmp_path / "lab.toml")
    result = run("-o", "lab.toml", "--again")
    assert result.exit_code == 0, result.output
    assert "the fastest of 2 probes" in " ".join(result.stdout.split())
    both = load_profile(tmp_path / "lab.toml")
    assert both.probe.repeats == 2
    for before, after in zip(first.device.kernels, both.device.kernels, strict=True):
        assert all(new.seconds <= old.seconds for old, new in zip(before.points, after.points, strict=True))


def test_again_refuses_another_software(run, tmp_path):
    run("-o", "lab.toml")
    path = tmp_path / "lab.toml"
    path.write_text(path.read_text("utf-8").replace(f'torch = "{torch.__version__}"', 'torch = "1.0"'), "utf-8")
    kept = path.read_text("utf-8")
    result = run("-o", "lab.toml", "--again")
    assert result.exit_code == 2
    assert f"was probed with torch 1.0, and this is {torch.__version__}: probe without --again" in result.stderr
    assert path.read_text("utf-8") == kept
