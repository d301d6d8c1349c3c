import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import RecipeError
from sslbench.bench.resolve import resolve_recipe
from sslbench.kernels.catalog import recipe_tables

TOML = 'objective = "mlm"\nmodel = "bert-mini"\nbatch_size = 4\nseq_len = 32\n[options]\nmask_ratio = 0.3\n'


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "my_step.py"
    path.write_text("def build(device, batch_size=32, image_size=224):\n    return lambda: None\n")
    return path


@pytest.mark.parametrize("name", recipe_tables())
def test_every_recipe_of_the_catalog_resolves(name):
    recipe = resolve_recipe(name, {})
    assert recipe.name == name
    assert recipe.batch_size


def test_changes_replace_fields_and_join_options():
    recipe = resolve_recipe("simclr-resnet18", {"batch_size": 64, "options": {"temperature": 0.5}})
    assert (recipe.batch_size, recipe.image_size) == (64, 64)
    assert recipe.options["temperature"] == 0.5
    assert recipe.options["projection_dim"] == 128


def test_an_option_called_like_a_field_sets_the_field():
    recipe = resolve_recipe("bert-mini-mlm", {"options": {"seq_len": 64, "precision": "bf16"}})
    assert (recipe.seq_len, recipe.precision) == (64, "bf16")
    assert "seq_len" not in recipe.options


def test_changes_do_not_reach_the_catalog():
    resolve_recipe("simclr-resnet18", {"options": {"temperature": 0.7}})
    assert resolve_recipe("simclr-resnet18", {}).options["temperature"] == 0.1


def test_a_toml_is_named_like_its_file(toml):
    recipe = resolve_recipe(str(toml), {"batch_size": 2})
    assert (recipe.name, recipe.batch_size, recipe.options) == ("mine", 2, {"mask_ratio": 0.3})


def test_a_model_folder_is_meant_from_where_the_toml_lies(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    path = tmp_path / "mine.toml"
    path.write_text(TOML.replace("bert-mini", "model"))
    recipe = resolve_recipe(str(path), {})
    assert recipe.model == str(tmp_path / "model")


def test_a_factory_is_named_by_file_and_function(factory):
    recipe = resolve_recipe(f"{factory}:build", {"stage": "infer", "batch_size": 4})
    assert (recipe.name, recipe.objective, recipe.stage) == ("my_step:build", "custom", "infer")
    assert recipe.factory == f"{factory}:build"
    assert (recipe.batch_size, recipe.image_size, recipe.options) == (4, None, {})


def test_what_the_user_said_goes_to_the_factory(factory):
    changes = {"precision": "bf16", "options": {"image_size": 96, "depth": 3, "stage": "infer"}}
    recipe = resolve_recipe(f"{factory}:build", changes)
    assert (recipe.image_size, recipe.precision, recipe.stage) == (96, "bf16", "infer")
    assert recipe.options == {"depth": 3, "precision": "bf16"}


def test_a_relative_factory_becomes_absolute(factory, monkeypatch):
    monkeypatch.chdir(factory.parent)
    assert resolve_recipe("my_step.py:build", {}).factory == f"{factory}:build"


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("bert-base-mml", r"no recipe 'bert-base-mml': did you mean bert-base-mlm\?"),
        ("BERT-BASE-MLM", r"did you mean bert-base-mlm\?"),
        ("zzz", r"no recipe 'zzz': `sslbench recipes` lists the catalog"),
        ("", r"no recipe ''"),
        ("~x", r"no recipe '~x'"),
        ("x" * 5000, r"no recipe 'xxx"),
        ("x" * 5000 + ".py:build", r"xxx\.py: no such file"),
        ("missing.toml", r"^missing\.toml: No such file or directory$"),
        ("missing.py:build", r"^missing\.py: no such file$"),
        ("my_step.py", r"^my_step\.py: expected file\.py:function"),
        ("my_step.py:", r"expected file\.py:function"),
        ("my_step.py:a.b", r"expected file\.py:function"),
    ],
)
def test_what_is_no_recipe_says_what_would_be(argument, problem):
    with pytest.raises(RecipeError, match=problem):
        resolve_recipe(argument, {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("objective = mlm\n", r"is not TOML: .*line 1"),
        ("batch_size = 4", r"objective is missing"),
        (TOML.replace("4", "0"), r"batch_size: .*greater than 0, got 0"),
        (TOML.replace("seq_len", "sequence"), r"sequence is not a known key"),
        (TOML.replace('"mlm"', '"mml"'), r"objective: expected one of .*mlm.*, got 'mml'; did you mean 'mlm'\?"),
        (TOML.replace("bert-mini", "bert-minni"), r"no model 'bert-minni': .*did you mean bert-mini\?"),
        (TOML.replace("[options]\nmask_ratio = 0.3", "options = 3"), r"options: input should be a valid dictionary"),
        ('objective = "custom"\nfactory = "x.py:build"', r"as file\.py:function on the command line"),
    ],
)
def test_a_malformed_toml_names_file_key_and_expectation(toml, text, problem):
    toml.write_text(text)
    with pytest.raises(RecipeError, match=problem) as raised:
        resolve_recipe(str(toml), {"options": {"mask_ratio": 0.2}})
    assert str(raised.value).startswith(str(toml))


def test_a_toml_that_is_not_text_says_so(toml):
    toml.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="is not UTF-8 text"):
        resolve_recipe(str(toml), {})


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="no recipe"):
        resolve_recipe(str(tmp_path), {})


@given(st.text())
def test_any_argument_gives_a_recipe_or_an_error_of_ours(argument):
    try:
        assert resolve_recipe(argument, {}).name == argument
    except RecipeError as error:
        assert str(error)


def test_resolving_imports_no_torch():
    code = (
        "import sys; from sslbench.bench.resolve import resolve_recipe; resolve_recipe('bert-base-mlm', {});"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_a_factory_in_the_users_home_is_found_again_and_names_no_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my_step.py").write_text("def build(device): ...\n", encoding="utf-8")
    recipe = resolve_recipe(f"{tmp_path}/my_step.py:build", {})
    assert recipe.factory == "~/my_step.py:build"
    assert resolve_recipe(recipe.factory, {}) == recipe
