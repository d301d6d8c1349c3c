import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sslbench.bench.commands.configurations import plan_of
from sslbench.bench.commands.options import output_options, recipe_lists
from sslbench.bench.commands.profile_options import budget_of, profile_options, source_of
from sslbench.bench.errors import SSLBenchError


def plan(*arguments):
    """The configurations of a command line, the budget and the files."""
    seen = []

    @click.command("profile")
    @recipe_lists
    @profile_options
    @output_options
    @click.pass_context
    def command(ctx, **params):
        seen.append((plan_of(ctx), budget_of(params), source_of(params)))

    result = CliRunner().invoke(command, list(arguments))
    if isinstance(result.exception, SSLBenchError):
        raise result.exception
    if not seen:
        raise ValueError(result.output)
    return seen[0]


CHOICES = {
    "--stage": ["train", "infer"],
    "--batch-size": ["4", "8", "auto"],
    "--precision": ["fp32", "bf16"],
    "--optimizer": ["adamw", "sgd"],
    "--attention": ["sdpa", "eager"],
    "--seq-len": ["16", "32"],
    "--backend": ["torch-cpu", "onnx-cpu"],
    "--devices": ["1", "2"],
    "--strategy": ["ddp", "fsdp"],
    "--set": ["mask_ratio=0.1,0.4", "learning_rate=1e-05", "compile=true,false"],
}


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_command_of_each_configuration_makes_it_again(data):
    chosen = data.draw(st.lists(st.sampled_from(sorted(CHOICES)), unique=True, max_size=4))
    arguments = ["bert-mini-mlm", "--steps", "5", "--tolerance", "2%", "--memory-limit", "4GiB"]
    for option in chosen:
        values = data.draw(st.lists(st.sampled_from(CHOICES[option]), min_size=1, unique=True))
        arguments += [option, values[0] if option == "--set" else ",".join(values)]
    configurations, budget, _ = plan(*arguments)
    for one in configurations:
        assert one.command[0] == "profile"
        (again,), same, _ = plan(*one.command[1:])
        assert (again, same) == (one, budget)


def test_lists_are_combined_in_order():
    found, _, _ = plan(
        "bert-mini-mlm", "simclr-resnet18", "--batch-size", "8,auto,8", "--backend", "torch-cpu,onnx-cpu"
    )
    assert [(one.recipe.name, one.auto_batch, one.backend) for one in found] == [
        (recipe, auto, backend)
        for recipe in ("bert-mini-mlm", "simclr-resnet18")
        for auto in (False, True)
        for backend in ("torch-cpu", "onnx-cpu")
    ]


def test_a_comma_within_a_value(tmp_path):
    (tmp_path / "step.py").write_text("", "utf-8")
    (one,), _, _ = plan(f"{tmp_path / 'step.py'}:build", "--set", r"layers=1\,2", "--backend", "torch-cpu")
    assert one.recipe.options == {"layers": "1,2"}
    assert r"layers=1\,2" in one.command


def test_a_matrix_and_the_command_line_together(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('precision = ["fp32", "bf16"]\nset.note = "0.5"\n[[include]]\nbatch_size = 2\n', "utf-8")
    found, _, _ = plan("bert-mini-mlm", "--stage", "infer", "--seq-len", "16,32", "--matrix", str(path))
    assert [(one.recipe.precision, one.recipe.seq_len, one.recipe.batch_size) for one in found] == [
        ("fp32", 16, 8),
        ("fp32", 32, 8),
        ("bf16", 16, 8),
        ("bf16", 32, 8),
        ("fp32", 128, 2),
    ]
    assert {one.recipe.stage for one in found} == {"infer"}
    assert {one.recipe.options["note"] for one in found} == {0.5}  # as the command line would read it
    assert "--matrix" not in found[0].command


def test_a_key_stands_in_one_place(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('batch_size = 8\nset.mask_ratio = 0.1\nrecipe = "bert-mini-mlm"', "utf-8")
    for given_, name in (
        (["--batch-size", "8"], "--batch-size"),
        (["--set", "mask_ratio=0.1"], "--set mask_ratio"),
        (["bert-mini-mlm"], "RECIPE"),
    ):
        with pytest.raises(ValueError, match=rf"{name} is in .*sweep.toml, too: give it in one place"):
            plan(*given_, "--matrix", str(path))
    assert len(plan("--matrix", str(path))[0]) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Missing argument 'RECIPE...'"),
        (["bert-mini-mlm", "--tolerance", "much"], "'much' is not a share such as 1% or 0.01"),
        (["bert-mini-mlm", "--memory-limit", "much"], "'much' is not a size such as 48GiB"),
        (["bert-mini-mlm", "--devices", "0"], "0 is not in the range"),
    ],
)
def test_usage_errors(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        plan(*arguments)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), ("0.02", 0.02)])
def test_a_tolerance_is_a_share(text, share):
    assert plan("bert-mini-mlm", "--tolerance", text)[1].tolerance == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "100%", "nan", "-1"])
def test_a_tolerance_out_of_range(text):
    with pytest.raises(SSLBenchError, match="--tolerance: more than 0 and less than 100 %"):
        plan("bert-mini-mlm", f"--tolerance={text}")
