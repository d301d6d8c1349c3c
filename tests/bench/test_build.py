import dataclasses
import importlib
import inspect
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sslbench.bench.build import build_step, factory_defaults, inference_module, step_builder
from sslbench.bench.errors import RecipeError
from sslbench.bench.recipe import Recipe
from sslbench.bench.resolve import SIZES, resolve_recipe
from sslbench.kernels.catalog import objective_module, objective_names, recipe_tables
from sslbench.kernels.models import no_init
from sslbench.kernels.optimizers import OPTIMIZERS
from sslbench.kernels.setup import Setup

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
CPU, META = torch.device("cpu"), torch.device("meta")
SMALL = {
    "clm": {"batch_size": 2, "seq_len": 16},
    "mlm": {"batch_size": 2, "seq_len": 16},
    "simclr": {"batch_size": 2, "image_size": 32},
    "dino": {"batch_size": 2, "image_size": 32},
    "dinov2": {"batch_size": 2, "image_size": 112},
    "simcse": {"batch_size": 2, "seq_len": 16},
    "moco": {"batch_size": 2, "image_size": 32},
    "byol": {"batch_size": 2, "image_size": 32},
    "simsiam": {"batch_size": 2, "image_size": 32},
    "barlow-twins": {"batch_size": 2, "image_size": 32},
    "vicreg": {"batch_size": 2, "image_size": 32},
    "swav": {"batch_size": 2, "image_size": 32},
    "mae": {"batch_size": 2, "image_size": 112},
    "beit": {"batch_size": 2, "image_size": 64},
    "simmim": {"batch_size": 2, "image_size": 192},
    "clip": {"batch_size": 2, "image_size": 224, "seq_len": 8},
}


@pytest.fixture
def page():
    """The first code block of a language on the page about recipes; the whole page for none."""
    text = PAGE.read_text()
    return lambda language: text.partition(f"```{language}\n")[2].partition("```")[0] if language else text


@pytest.fixture
def factory(tmp_path):
    def make(body, **changes):
        path = tmp_path / "my_step.py"
        path.write_text(body)
        return resolve_recipe(f"{path}:build", changes)

    return make


def small(name, **changes):
    table = recipe_tables()[name]
    # Where the model says what a sample is, the recipe has the one size that it takes.
    own = {key: size for key, size in {"batch_size": 2, "seq_len": 16, "image_size": 32}.items() if key in table}
    return resolve_recipe(name, {**SMALL.get(table["objective"], own), **changes})


@pytest.mark.parametrize("name", ["bert-mini-mlm", "clm-stories15m", "simclr-resnet18", "simcse-bert-mini"])
@pytest.mark.parametrize("stage", ["train", "infer"])
def test_cpu_sized_recipes_run(name, stage):
    output = build_step(small(name, stage=stage), CPU)()
    assert output.isfinite().all()


@pytest.mark.parametrize("name", recipe_tables())
def test_the_inference_of_every_recipe_can_be_built(name):
    # On fake tensors, of which libraries know that they have no data; of those on the meta device they do not.
    with FakeTensorMode(), no_init():
        module, inputs = inference_module(small(name), CPU)
        assert not module.training
        assert module(*inputs).shape[0] == 2


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("bert-mini-mlm", {"seq_len": 513}, r"recipe bert-mini-mlm: seq_len: bert-mini has 512 positions, got 513"),
        ("bert-mini-mlm", {"image_size": 32}, r"recipe bert-mini-mlm: image_size: objective mlm has no such size"),
        ("bert-mini-mlm", {"model": "resnet18"}, r"recipe bert-mini-mlm: .* has no masked-LM head"),
        ("bert-mini-mlm", {"optimizer": "adamm"}, r"no optimizer 'adamm': .*did you mean adam\?"),
        ("simclr-resnet18", {"batch_size": 1}, r"recipe simclr-resnet18: batch_size: .* at least 2, got 1"),
        ("simclr-resnet18", {"model": "bert-mini"}, r"type 'bert' is no image encoder"),
        ("simclr-resnet18", {"options": {"temprature": 1}}, r"has no 'temprature': did you mean temperature\?"),
        ("simclr-resnet18", {"options": {"temperature": "warm"}}, r"temperature: .*valid number, got 'warm'"),
        ("bert-mini-mlm", {"options": {"padding": 1}}, r"padding: .*valid boolean, got 1"),
    ],
)
def test_a_step_that_cannot_be_says_why(name, changes, problem):
    with pytest.raises(RecipeError, match=problem) as raised:
        build_step(small(name, **changes), META)
    assert "\n" not in str(raised.value)


def test_a_size_that_is_missing_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('objective = "mlm"\nmodel = "bert-mini"\nbatch_size = 2\n')
    with pytest.raises(RecipeError, match="recipe mine: seq_len is missing: objective mlm needs it"):
        build_step(resolve_recipe(str(path), {}), META)


def test_a_whole_number_stands_for_a_decimal():
    assert build_step(small("simclr-resnet18", options={"temperature": 1}), CPU)().isfinite()


def test_a_builder_has_imported_what_its_step_needs():
    step_builder(small("bert-mini-mlm"))
    assert "transformers.models.bert.modeling_bert" in sys.modules


FACTORY = """
def build(device, batch_size=32, image_size=224, *, width=8, precision="fp32"):
    return lambda: (str(device), batch_size, image_size, width, precision)
"""


def test_a_factory_has_its_defaults_and_what_the_user_set(factory):
    assert build_step(factory(FACTORY), CPU)() == ("cpu", 32, 224, 8, "fp32")
    recipe = factory(FACTORY, batch_size=4, precision="bf16", options={"width": 16, "image_size": 96})
    assert build_step(recipe, CPU)() == ("cpu", 4, 96, 16, "bf16")
    assert build_step(recipe.with_options(batch_size=8), CPU)() == ("cpu", 8, 96, 16, "bf16")


def test_a_parameter_of_a_factory_may_be_called_like_a_field(factory):
    body = "def build(device, model='a', attention='b'):\n    return lambda: (model, attention)\n"
    assert build_step(factory(body, options={"model": "mine", "attention": "ring"}), CPU)() == ("mine", "ring")


def test_sizes_of_a_factory_are_its_defaults_where_none_is_given(factory):
    recipe = factory_defaults(factory(FACTORY, image_size=64))
    assert (recipe.batch_size, recipe.image_size, recipe.seq_len) == (32, 64, None)
    without = factory("def build(device, batch_size):\n    return print\n")
    assert factory_defaults(without).batch_size is None
    catalog = resolve_recipe("bert-mini-mlm", {})
    assert factory_defaults(catalog) is catalog


def test_a_factory_may_take_anything(factory):
    body = "def build(device, **parameters):\n    return lambda: parameters\n"
    assert build_step(factory(body, batch_size=4, options={"a": 1}), CPU)() == {"batch_size": 4, "a": 1}


def test_a_factory_that_takes_the_stage_is_told(factory):
    body = "def build(device, stage='train'):\n    return lambda: stage\n"
    assert build_step(factory(body, stage="infer"), CPU)() == "infer"


def test_a_factory_may_import_its_neighbours_and_leaves_no_trace(factory, tmp_path, monkeypatch):
    (tmp_path / "neighbour_of_my_step.py").write_text("VALUE = 7\n")
    monkeypatch.delitem(sys.modules, "neighbour_of_my_step", raising=False)
    before = list(sys.path)
    body = "def build(device):\n    import neighbour_of_my_step\n    return lambda: neighbour_of_my_step.VALUE\n"
    assert build_step(factory(body), CPU)() == 7
    assert sys.path == before


@pytest.mark.parametrize(
    ("body", "changes", "problem"),
    [
        ("def build(device:\n    pass", {}, r"my_step\.py:1: SyntaxError: "),
        ("x = 1\nimport no_such_module_at_all", {}, r"my_step\.py:2: ModuleNotFoundError: No module named"),
        ("def other(device):\n    pass", {}, r"my_step\.py: has no function 'build'"),
        ("build = 3", {}, r"my_step\.py: has no function 'build'"),
        ("def build(device):\n    return 3", {}, r"expected the step, a function without arguments, got int"),
        ("def build(device):\n    raise KeyError('here')", {}, r"my_step\.py:2: KeyError: 'here'"),
        ("def build(device):\n    raise SystemExit(4)", {}, r"my_step\.py:2: SystemExit: 4"),
        ("def build(device):\n    import torch\n    torch.zeros(-1)", {}, r"my_step\.py:3: RuntimeError: .*negative"),
        ("def build(device, width=1):\n    pass", {"options": {"widht": 2}}, r"takes no 'widht'; .*device: width$"),
        ("def build(device):\n    pass", {"batch_size": 2}, r"takes no 'batch_size'; .*device: none$"),
        ("def build(device):\n    pass", {"precision": "bf16"}, r"takes no 'precision'"),
        ("def build(device, batch_size):\n    pass", {}, r"my_step\.py: TypeError: .*missing .* 'batch_size'"),
        ("def build():\n    pass", {}, r"TypeError: .*takes 0 positional arguments"),
    ],
)
def test_a_broken_factory_names_its_own_line(factory, body, changes, problem):
    with pytest.raises(RecipeError, match=problem):
        build_step(factory(body, **changes), CPU)


def test_a_step_that_raises_names_its_own_line(factory):
    body = "def step():\n    return 1 / 0\n\ndef build(device):\n    return step\n"
    run = build_step(factory(body), CPU)
    with pytest.raises(RecipeError, match=r"my_step\.py:2: ZeroDivisionError: division by zero"):
        run()


@pytest.mark.parametrize("error", ["MemoryError()", "__import__('torch').OutOfMemoryError('full')"])
def test_memory_that_ran_out_is_not_the_users_mistake(factory, error):
    run = build_step(factory(f"def build(device):\n    def step():\n        raise {error}\n    return step\n"), CPU)
    with pytest.raises((MemoryError, torch.OutOfMemoryError)):
        run()


def test_a_file_that_went_away_is_named(factory, tmp_path):
    recipe = factory(FACTORY)
    (tmp_path / "my_step.py").unlink()
    with pytest.raises(RecipeError, match=r"my_step\.py: no such file"):
        build_step(recipe, CPU)


def test_a_factory_has_no_module_to_export(factory):
    with pytest.raises(RecipeError, match=r"my_step:build: .* use a torch backend"):
        inference_module(factory(FACTORY), CPU)


def test_the_recipe_and_the_step_of_the_page_run(page, tmp_path, factory):
    path = tmp_path / "page.toml"
    path.write_text(page("toml"))
    assert build_step(resolve_recipe(str(path), {"batch_size": 2, "seq_len": 16}), CPU)().isfinite()
    build_step(factory(page("python"), batch_size=2, options={"width": 4}), CPU)()


def test_the_page_names_every_key_and_every_option_that_all_objectives_have(page):
    text = page(None)
    shared = {field.name for field in dataclasses.fields(Setup)} - {"device"}
    for key in (Recipe.model_fields.keys() | shared) - {"factory", "options"}:
        assert f"`{key}`" in text
    for name in OPTIMIZERS:
        assert f"`{name}`" in text


@pytest.mark.parametrize("objective", objective_names())
def test_the_page_of_an_objective_names_its_options_its_recipes_and_their_models(objective, page):
    text = (PAGE.parent / "objectives" / f"{objective}.md").read_text()
    assert f"(objectives/{objective}.md)" in page(None)
    module = importlib.import_module(objective_module(objective))
    own = {**inspect.signature(module.train).parameters, **inspect.signature(module.inference).parameters}
    for option in own.keys() - {"setup", *SIZES}:
        assert f"`{option}`" in text
    for name, table in recipe_tables().items():
        if table["objective"] == objective:
            assert f"`{name}`" in text
            assert f"`{table['model']}`" in text


def test_a_batch_is_divided_among_its_passes():
    step = build_step(small("bert-mini-mlm", batch_size=4, options={"accumulation": 2}), CPU)
    assert step().isfinite()
    with pytest.raises(RecipeError, match="accumulation: expected a divisor of the batch of 2, got 3"):
        build_step(small("bert-mini-mlm", options={"accumulation": 3}), META)
    assert build_step(small("bert-mini-mlm", stage="infer", options={"accumulation": 2}), CPU)().shape[0] == 2
