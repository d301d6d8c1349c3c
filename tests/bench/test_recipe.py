import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import RecipeError
from sslbench.bench.recipe import Recipe, parse_recipe

TABLE = {"name": "mine", "objective": "mlm", "model": "bert-mini", "batch_size": 8, "seq_len": 128}


def test_a_recipe_has_the_fields_defaults():
    recipe = parse_recipe(TABLE, where="here")
    assert (recipe.stage, recipe.precision, recipe.optimizer, recipe.attention) == ("train", "fp32", "adamw", "sdpa")
    assert recipe.image_size is None
    assert not recipe.activation_checkpointing


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch_size": 0}, "batch_size: input should be greater than 0, got 0"),
        ({"batch_size": True}, "batch_size: input should be a valid integer, got True"),
        ({"batch_size": "8"}, "batch_size: input should be a valid integer, got '8'"),
        ({"seq_len": 2**31}, "seq_len: input should be less than or equal to 2147483647"),
        ({"precision": "fp8"}, "precision: input should be 'fp32', 'tf32', 'bf16', 'fp16' or 'int8', got 'fp8'"),
        ({"stage": "test"}, "stage: input should be 'train' or 'infer', got 'test'"),
        ({"batchsize": 4}, "batchsize is not a known key"),
        ({"name": ""}, "name: string should have at least 1 character"),
        ({"options": 3}, "options: input should be a valid dictionary"),
        ({"options": {"a": [1]}}, "options.a: expected a bool, int, float or str, got [1]"),
        ({"options": {"a": float("nan")}}, "options.a: expected a finite number, got nan"),
        ({"options": {"a": float("-inf")}}, "options.a: expected a finite number, got -inf"),
    ],
)
def test_the_first_wrong_key_is_named(changes, problem):
    with pytest.raises(RecipeError) as raised:
        parse_recipe({**TABLE, **changes}, where="my.toml")
    assert str(raised.value).startswith(f"my.toml: {problem}")


@pytest.mark.parametrize("key", ["name", "objective"])
def test_a_missing_key_is_named(key):
    table = {name: value for name, value in TABLE.items() if name != key}
    with pytest.raises(RecipeError, match=rf"^my.toml: {key} is missing$"):
        parse_recipe(table, where="my.toml")


def test_changes_are_checked_like_a_file():
    recipe = parse_recipe(TABLE, where="here")
    assert recipe.with_options(batch_size=16).batch_size == 16
    assert recipe.batch_size == 8
    with pytest.raises(RecipeError, match=r"recipe mine: batch_size: .*, got 0"):
        recipe.with_options(batch_size=0)


@given(
    st.builds(
        Recipe,
        name=st.text(min_size=1),
        objective=st.text(),
        batch_size=st.none() | st.integers(1, 2**31 - 1),
        options=st.dictionaries(
            st.text(), st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
        ),
    )
)
def test_a_recipe_survives_json(recipe):
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@given(
    st.dictionaries(st.sampled_from(list(Recipe.model_fields)), st.none() | st.booleans() | st.integers() | st.text())
)
def test_any_table_gives_a_recipe_or_one_line(table):
    try:
        assert parse_recipe(table, where="file").name
    except RecipeError as error:
        assert "\n" not in str(error)
