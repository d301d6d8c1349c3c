import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sslbench.bench.budget import Budget, changed_budget
from sslbench.bench.errors import RecipeError
from sslbench.bench.recipe import parse_recipe
from sslbench.bench.resolve import resolve_recipe
from sslbench.kernels.catalog import recipe_tables

IMAGENET = Budget(epochs=300, samples=1_281_167)


def test_the_papers_say_how_much():
    simclr, bert, llama = (resolve_recipe(name, {}) for name in ("simclr-resnet50", "bert-base-mlm", "clm-llama-7b"))
    assert simclr.budget.total_samples(batch_size=256, seq_len=None) == 1000 * 1_281_167
    assert bert.budget.total_samples(batch_size=32, seq_len=512) == 256_000_000
    assert llama.budget.total_samples(batch_size=1, seq_len=2048) == 10**12 / 2048


def test_every_budget_of_the_catalog_has_a_source():
    budgets = [table["budget"] for table in recipe_tables().values() if "budget" in table]
    assert len(budgets) >= 40
    assert all(budget["source"] for budget in budgets)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (IMAGENET, "300 epochs of 1,281,167 samples"),
        (Budget(epochs=1, samples=5), "1 epoch of 5 samples"),
        (Budget(steps=1000, batch_size=256), "1,000 steps of 256 samples"),
        (Budget(steps=1), "1 step"),
        (Budget(tokens=3 * 10**11), "300,000,000,000 tokens"),
    ],
)
def test_in_words(budget, words):
    assert budget.words == words


@pytest.mark.parametrize(
    "fields",
    [{}, {"epochs": 3}, {"samples": 3}, {"steps": 3, "tokens": 3}, {"epochs": 3, "samples": 4, "batch_size": 5}],
)
def test_a_budget_is_said_in_one_whole_way(fields):
    with pytest.raises(ValidationError):
        Budget(**fields)
    table = {"name": "a", "objective": "mlm", "budget": fields}
    with pytest.raises(RecipeError, match=r"^here: budget: .*(one of|together|goes with)"):
        parse_recipe(table, where="here")


@given(st.integers(1, 10**9), st.integers(1, 10**5))
def test_own_steps_are_of_the_batch_at_hand(steps, batch):
    assert Budget(steps=steps).total_samples(batch_size=batch, seq_len=None) == steps * batch
    assert Budget(steps=steps, batch_size=7).total_samples(batch_size=batch, seq_len=None) == steps * 7


def test_what_the_user_says_goes_over_the_recipes():
    assert changed_budget(IMAGENET) is IMAGENET
    assert changed_budget(IMAGENET, epochs=100).words == "100 epochs of 1,281,167 samples"
    assert changed_budget(IMAGENET, samples=50_000).words == "300 epochs of 50,000 samples"
    assert changed_budget(IMAGENET, steps=10).words == "10 steps"
    assert changed_budget(None, tokens=10).source == "given by the user"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"epochs": 3}, "--epochs needs --samples, too"),
        ({"samples": 3}, "--samples needs --epochs, too"),
        ({"steps": 3, "tokens": 3}, "--steps and --tokens: a budget is said in one way"),
        ({"epochs": 3, "tokens": 3}, "--epochs and --tokens: a budget is said in one way"),
    ],
)
def test_half_of_a_budget_is_refused(given, problem):
    with pytest.raises(RecipeError, match=problem):
        changed_budget(None, **given)


def test_tokens_need_a_length():
    with pytest.raises(RecipeError, match="seq_len"):
        Budget(tokens=5).total_samples(batch_size=1, seq_len=None)
