"""`sslbench fit` as a person runs it."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from sslbench.bench.cli import cli, main
from sslbench.bench.record import load_records

SMALL = ["bert-mini-mlm", "--batch-size", "4", "--seq-len", "32"]
STEP = """
import torch

def build(device, batch_size=16, width=64):
    model = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 1)).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    x = torch.randn(batch_size, width, device=device)

    def step():
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step

def fixed(device):
    x = torch.ones(8, 8, device=device)
    return lambda: x @ x

def noisy(device):
    print("building")
    return lambda: print("stepping")

def broken(device):
    raise RuntimeError("the teacher is missing")

def looks_inside(device):
    x = torch.ones(8, device=device)
    return lambda: {1.0: "one"}[float("nan") * x.sum().item()]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SSLBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_step.py").write_text(STEP)
    return tmp_path


def fit(*arguments):
    return CliRunner().invoke(cli, ["fit", *arguments])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("memory", "verdict", "code"), [("24GiB", "fits", 0), ("0.5GiB", "does-not-fit", 1)])
def test_the_exit_code_is_the_verdict(memory, verdict, code):
    done = fit(*SMALL, "--machine", "rtx-4090", "--gpu-memory", memory, "--format", "json")
    assert json.loads(done.output)["verdict"] == verdict
    assert done.exit_code == code


@pytest.mark.usefixtures("folder")
def test_a_tight_fit_is_3():
    record = json.loads(fit(*SMALL, "--machine", "rtx-4090", "--format", "json").output)
    tight = f"{record['memory']['required_bytes'] / 0.985 / 2**20 + 1:.0f}MiB"
    assert fit(*SMALL, "--machine", "rtx-4090", "--gpu-memory", tight).exit_code == 3


@pytest.mark.usefixtures("folder")
def test_several_machines_are_one_table_with_the_worst_exit_code():
    done = fit(*SMALL, "--machine", "h200", "--machine", "t4", "--gpu-memory", "0.5GiB")
    assert "h200" in done.output
    assert "t4" in done.output
    assert done.exit_code == 1


def test_the_record_is_written_and_can_be_asked_for_again(folder):
    done = fit(*SMALL, "--machine", "rtx-3090", "-o", "r.json")
    assert done.exit_code == 0
    (record,) = load_records(folder / "r.json")
    again = CliRunner().invoke(cli, [*record.command, "--format", "json"])
    assert json.loads(again.output)["memory"] == json.loads((folder / "r.json").read_text())["memory"]


@pytest.mark.usefixtures("folder")
def test_the_answer_has_every_part():
    record = json.loads(fit(*SMALL, "--machine", "rtx-4090", "--format", "json").output)
    memory, time = record["memory"], record["time"]
    low, high = memory["interval_bytes"]
    assert low < memory["required_bytes"] < high < memory["capacity_bytes"]
    assert {"parameter", "activation", "optimizer state", "temporary"} <= set(memory["breakdown"])
    assert time["interval_seconds"][0] < time["step_seconds"] < time["interval_seconds"][1]
    assert time["samples_per_second"] == pytest.approx(4 / time["step_seconds"])
    assert record["work"]["parameters"] > 10**7
    assert record["max_batch_size"] > 4
    assert 450 * 0.2 < record["energy"]["joules_per_step"] / time["step_seconds"] < 450
    assert record["bill"] is None
    assert "--epochs" in record["unknown"]["bill"]


@pytest.mark.usefixtures("folder")
def test_an_explained_answer_names_the_line_of_ones_own_step():
    plain = json.loads(fit("my_step.py:build", "--machine", "rtx-3090", "--format", "json").output)
    record = json.loads(fit("my_step.py:build", "--machine", "rtx-3090", "--explain", "--format", "json").output)
    explained = record["explain"]
    assert plain["explain"] is None
    assert plain["memory"] == record["memory"]
    assert "my_step.py:10" in {row["line"] for row in explained["alive_at_peak"]}
    assert sum(row["bytes"] for row in explained["alive_at_peak"]) == sum(record["memory"]["breakdown"].values())
    assert "--explain" in record["command"]


@pytest.mark.usefixtures("folder")
def test_an_explanation_is_printed_after_the_answer():
    answer = fit(*SMALL, "--machine", "rtx-3090").output
    explained = fit(*SMALL, "--machine", "rtx-3090", "--explain").output
    assert explained.startswith(answer)
    assert "Alive at the peak" in explained
    assert "Alive at the peak" not in answer


@pytest.mark.usefixtures("folder")
def test_what_if_is_printed_after_the_answer_and_stands_in_the_record():
    arguments = ("my_step.py:build", "--machine", "rtx-3090", "--what-if")
    done = fit(*arguments)
    assert done.exit_code == 0
    assert done.output.startswith(fit(*arguments[:-1]).output)
    assert "own: batch 16, fp32" in done.output
    record = json.loads(fit(*arguments, "--format", "json").output)
    (settings,) = record["what_if"]["settings"]
    assert settings["required_bytes"][record["what_if"]["batch_sizes"].index(16)] == record["memory"]["required_bytes"]


@pytest.mark.usefixtures("folder")
def test_what_if_without_a_batch_says_why_there_is_none():
    done = fit("my_step.py:fixed", "--machine", "rtx-3090", "--what-if")
    assert done.exit_code == 0
    assert "What if: not known: the factory takes no batch_size" in done.output


@pytest.mark.usefixtures("folder")
def test_markdown():
    done = fit(*SMALL, "--machine", "rtx-4090", "--format", "markdown")
    assert "|" in done.output


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("options", [[], ["--batch-size", "64"], ["--set", "batch_size=64", "--set", "width=128"]])
def test_a_step_of_ones_own(options):
    done = fit("my_step.py:build", *options, "--machine", "rtx-3090", "--format", "json")
    record = json.loads(done.output)
    assert record["recipe"]["batch_size"] == (64 if options else 16)
    assert record["memory"]["breakdown"]["optimizer state"] > 0
    assert record["max_batch_size"] > 10**5


@pytest.mark.usefixtures("folder")
def test_a_step_without_a_batch_has_no_largest_one():
    record = json.loads(fit("my_step.py:fixed", "--machine", "rtx-3090", "--format", "json").output)
    assert record["max_batch_size"] is None
    assert "batch_size" in record["unknown"]["max_batch_size"]
    assert record["time"]["samples_per_second"] is None


@pytest.mark.usefixtures("folder")
def test_what_a_step_prints_is_no_part_of_the_answer():
    done = fit("my_step.py:noisy", "--machine", "rtx-3090", "--format", "json")
    assert json.loads(done.stdout)["kind"] == "prediction"
    assert "stepping" in done.stderr


def test_a_model_folder(folder):
    (folder / "model").mkdir()
    config = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 64, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 1000, "max_position_embeddings": 64}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    options = ["--model", "model", "--seq-len", "32", "--machine", "rtx-4090", "--format", "json"]
    record = json.loads(fit("bert-base-mlm", *options).output)
    assert record["work"]["parameters"] < 10**6


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bert-bse-mlm"], "did you mean bert-base-mlm"),
        (["bert-mini-mlm", "--machine", "rtx-490"], "rtx-4090"),
        (["bert-mini-mlm", "--machine", "nowhere/m.toml"], "nowhere/m.toml"),
        (["bert-mini-mlm", "--seq-len", "513"], "512"),
        (["bert-mini-mlm", "--batch-size", "0"], "batch_size"),
        (["simclr-resnet18", "--batch-size", "1"], "batch"),
        (["missing.toml"], "missing.toml"),
        (["my_step.py:absent"], "absent"),
        (["my_step.py:broken"], "my_step.py:25: RuntimeError: the teacher is missing"),
        (["my_step.py:looks_inside"], "my_step.py:29: KeyError"),
        (["my_step.py:build", "--set", "depth=3"], "'depth'"),
        (["bert-mini-mlm", "--what-if", "--backend", "onnx-cpu"], "--what-if"),
        (["bert-mini-mlm", "--gpu-memory", "-3GiB"], "is not a size"),
        (["bert-mini-mlm", "--gpu-memory", "nanGiB"], "is not a size"),
        (["bert-mini-mlm", "--machine", "rtx-4090", "-o", "nowhere/r.json"], "nowhere/r.json: cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, message, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["sslbench", "fit", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    printed = capfd.readouterr()
    assert left.value.code == 2
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


@pytest.mark.usefixtures("folder")
def test_a_cached_answer_needs_no_torch():
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom sslbench.bench.cli import cli\n"
        f"done = CliRunner().invoke(cli, ['fit', *{SMALL}, '--machine', 'rtx-4090'])\n"
        "print(done.exit_code, 'torch' in sys.modules)"
    )
    answers = [
        subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert answers == ["0 True", "0 False"]


@pytest.mark.parametrize("option", ["--price", "--electricity"])
@pytest.mark.parametrize("backend", [[], ["--backend", "onnx-cpu"]])
def test_a_price_of_inference_is_refused(option, backend, folder):
    result = CliRunner().invoke(cli, ["fit", *SMALL, "--stage", "infer", *backend, option, "2"])
    assert result.exit_code == 2
    assert f"leave {option} away for inference" in result.stderr
