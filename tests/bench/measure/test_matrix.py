import re
import tomllib
from pathlib import Path

import pytest

from sslbench.bench.errors import RecipeError
from sslbench.bench.measure.matrix import load_matrix
from sslbench.bench.measure.plan import expand

DOCS = Path(__file__).parents[3] / "docs" / "measuring.md"


def load(folder, text):
    path = folder / "sweep.toml"
    path.write_text(text, encoding="utf-8")
    return load_matrix(path)


def test_the_example_of_the_docs(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    matrix = load(tmp_path, example)
    rows = expand(matrix.axes, common=matrix.common, include=matrix.include, exclude=matrix.exclude)
    assert {row["recipe"] for row in rows} == {"bert-mini-mlm"}
    combined = [(row["batch_size"], row["precision"], row["set.mask_ratio"]) for row in rows[:-1]]
    assert combined == [
        *((8, precision, ratio) for precision in ("fp32", "bf16") for ratio in (0.15, 0.4)),
        *((16, "fp32", ratio) for ratio in (0.15, 0.4)),
        *(("auto", precision, ratio) for precision in ("fp32", "bf16") for ratio in (0.15, 0.4)),
    ]
    assert rows[-1] == {"recipe": "bert-mini-mlm", "batch_size": 64, "activation_checkpointing": True}


def test_a_switch_may_be_set_like_a_parameter(tmp_path):
    assert load(tmp_path, "set.compile = [true, false]").axes == {"compile": [True, False]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("batch = 3", "batch is not a known key: expected one of recipe, backend, "),
        ('batch_size = [8, "big"]', "batch_size: input should be a valid integer, got 'big'"),
        ("batch_size = 0", "batch_size: input should be greater than 0, got 0"),
        ("batch_size = true", "batch_size: input should be a valid integer, got True"),
        ("batch_size = []", "batch_size: expected at least one value, got an empty list"),
        ('precision = "fp64"', "precision: input should be 'fp32', 'tf32', 'bf16', 'fp16' or 'int8', got 'fp64'"),
        ('backend = ["torch-cpu", "gpu"]', "backend: expected one of torch-cuda, torch-cpu, "),
        ('strategy = "tp"', "strategy: expected one of ddp, fsdp, got 'tp'"),
        ("devices = 0", "devices: input should be greater than or equal to 1, got 0"),
        ('compile = "yes"', "compile: input should be a valid boolean, got 'yes'"),
        ("set = 3", "set: expected a table, as in set.temperature = [0.1, 0.5], got 3"),
        ("set.temperature = [[1]]", "set.temperature: expected a bool, int, float or str, got [1]"),
        ("set.temperature = inf", "set.temperature: expected a finite number, got inf"),
        ('set."mask ratio" = 1', "set.mask ratio is not a known key"),
        ("include = 3", "include: expected rows, each beginning with [[include]]"),
        ("[[exclude]]", "exclude: expected rows, each beginning with [[exclude]]"),
        ("[[include]]\nbatch_size = [1, 2]", "include row 1: batch_size: input should be a valid integer, got [1, 2]"),
        ('recipe = ["a", "b"]\n[[include]]\nbatch_size = 3', "include row 1: recipe is missing"),
        ("batch_size", "is not TOML: "),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path, text, problem):
    with pytest.raises(RecipeError) as error:
        load(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'sweep.toml'}: {problem}")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(RecipeError, match=r"sweep\.toml: No such file"):
        load_matrix(tmp_path / "sweep.toml")
    (tmp_path / "sweep.toml").write_bytes(b"\xff")
    with pytest.raises(RecipeError, match=r"sweep\.toml: is not UTF-8 text"):
        load_matrix(tmp_path / "sweep.toml")


def test_the_module_shows_the_same_example():
    from sslbench.bench.measure import matrix

    assert tomllib.loads(matrix.__doc__.partition("\n")[2])["batch_size"] == [8, 16, "auto"]
