import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.errors import RecipeError
from sslbench.bench.measure.plan import Configuration, expand, labels, unique, varied
from sslbench.bench.resolve import resolve_recipe

VALUES = st.one_of(st.booleans(), st.integers(0, 3), st.floats(0, 2), st.sampled_from(["fp32", "auto", ""]))
AXES = st.dictionaries(st.sampled_from("abcd"), st.lists(VALUES, min_size=1, max_size=4), max_size=4)


def texts(rows):
    """1, 1.0 and true are equal in Python, and three texts in JSON."""
    return [json.dumps(row, sort_keys=True) for row in rows]


@given(AXES, st.dictionaries(st.sampled_from("xy"), VALUES), st.lists(st.dictionaries(st.sampled_from("abx"), VALUES)))
def test_no_row_comes_twice_and_the_order_is_kept(axes, common, include):
    rows = expand(axes, common=common, include=include)
    wanted = [common | dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    wanted += [common | row for row in include]
    assert texts(rows) == list(dict.fromkeys(texts(wanted)))


@given(AXES.filter(bool), st.data())
def test_what_is_left_out_is_gone_and_nothing_else(axes, data):
    rows = expand(axes)
    keys = data.draw(st.sets(st.sampled_from(sorted(axes)), min_size=1))
    excluded = {key: data.draw(st.sampled_from(rows))[key] for key in keys}
    kept = expand(axes, exclude=[excluded])
    assert kept == [row for row in rows if texts([row]) != texts([row | excluded])]


def test_a_row_that_leaves_nothing_out_is_a_mistake():
    with pytest.raises(RecipeError, match=r"^m: exclude row 2: no combination has a = true and b = 2$"):
        expand({"a": [1], "b": [2]}, exclude=[{"a": 1}, {"a": True, "b": 2}], where="m")


def test_what_is_included_comes_back_although_it_is_excluded():
    rows = expand({"a": [1, 2]}, exclude=[{"a": 1}], include=[{"a": 1}])
    assert rows == [{"a": 2}, {"a": 1}]


def configuration(changes, **fields):
    recipe = resolve_recipe("bert-mini-mlm", changes)
    return Configuration(**{"recipe": recipe, "backend": "torch-cpu", "command": (), **fields})


def test_the_same_step_is_measured_once():
    default, named = configuration({}), configuration({"batch_size": 8})
    assert unique([default, named, configuration({}, auto_batch=True)]) == [default, configuration({}, auto_batch=True)]


def test_configurations_are_called_by_what_distinguishes_them():
    plan = [
        configuration({"batch_size": 8, "options": {"mask_ratio": 0.4}}),
        configuration({"compile": True, "precision": "bf16"}, auto_batch=True, devices=2),
    ]
    assert varied(plan) == {
        "precision": ["fp32", "bf16"],
        "batch": ["8", "auto"],
        "compile": ["no", "yes"],
        "mask_ratio": ["0.4", "0.15"],
        "devices": ["1", "2"],
        "strategy": ["", "ddp"],
    }
    assert labels(plan) == [
        "batch 8, fp32, no compile, mask_ratio 0.4, devices 1",
        "batch auto, bf16, compile, mask_ratio 0.15, devices 2, ddp",
    ]
    assert labels(plan[:1]) == ["bert-mini-mlm"]
