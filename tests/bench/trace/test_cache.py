import json

import pytest

from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.cache import TraceCache
from sslbench.bench.trace.events import Call, OperatorKind, Storage, Trace

AMPERE = (8, 0)
RECIPE = Recipe(name="a", objective="mlm", model="bert-mini", batch_size=4, seq_len=16)
TRACE = Trace(
    target="cuda",
    batch_size=4,
    storages=(Storage(512, "parameter", 0, 0, "aten.empty.memory_format"),),
    events=(0,),
    marks=(1, 1, 1),
    phase_marks=((0, 0),),
    kinds=(OperatorKind("aten.mm.default", (("float32", (2, 2)), ("float32", (2, 2))), 16, 32, 16),),
    calls=(Call(0, 1, 0),),
    modules=("",),
    parameters=128,
)


def test_what_is_saved_is_found_again(tmp_path):
    cache = TraceCache(tmp_path / "new")
    assert cache.load(RECIPE, "cuda", AMPERE) is None
    cache.save(RECIPE, "cuda", AMPERE, TRACE)
    assert cache.load(RECIPE, "cuda", AMPERE) == TRACE


def test_names_titles_and_compilers_change_nothing(tmp_path):
    cache = TraceCache(tmp_path)
    cache.save(RECIPE, "cuda", AMPERE, TRACE)
    assert cache.load(RECIPE.with_options(name="b", title="c", paper="d", compile=True), "cuda", AMPERE) == TRACE


@pytest.mark.parametrize(
    "changes", [{"batch_size": 5}, {"precision": "bf16"}, {"options": {"mask_ratio": 0.2}}, {"model": "bert-base"}]
)
def test_another_step_is_another_trace(tmp_path, changes):
    cache = TraceCache(tmp_path)
    cache.save(RECIPE, "cuda", AMPERE, TRACE)
    assert cache.load(RECIPE.with_options(**changes), "cuda", AMPERE) is None


def test_another_target_is_another_trace(tmp_path):
    cache = TraceCache(tmp_path)
    cache.save(RECIPE, "cuda", AMPERE, TRACE)
    assert cache.load(RECIPE, "cpu", AMPERE) is None
    assert cache.load(RECIPE, "cuda", (7, 5)) is None


def test_another_version_of_torch_is_another_trace(tmp_path, monkeypatch):
    TraceCache(tmp_path).save(RECIPE, "cuda", AMPERE, TRACE)
    monkeypatch.setattr("sslbench.bench.trace.cache.package_version", lambda name: "0.0")
    assert TraceCache(tmp_path).load(RECIPE, "cuda", AMPERE) is None


def test_an_edited_model_config_is_another_trace(tmp_path):
    cache, folder = TraceCache(tmp_path / "cache"), tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    recipe = RECIPE.with_options(model=str(folder))
    cache.save(recipe, "cuda", AMPERE, TRACE)
    assert cache.load(recipe, "cuda", AMPERE) == TRACE
    (folder / "config.json").write_text('{"model_type": "bert", "hidden_size": 64}')
    assert cache.load(recipe, "cuda", AMPERE) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"target": "cuda"}', "null"])
def test_a_damaged_file_is_traced_again(tmp_path, damage):
    cache = TraceCache(tmp_path)
    cache.save(RECIPE, "cuda", AMPERE, TRACE)
    (file,) = tmp_path.iterdir()
    file.write_text(damage)
    assert cache.load(RECIPE, "cuda", AMPERE) is None


def test_a_column_that_is_too_short_is_damage(tmp_path):
    cache = TraceCache(tmp_path)
    cache.save(RECIPE, "cuda", AMPERE, TRACE)
    (file,) = tmp_path.iterdir()
    table = json.loads(file.read_text())
    table["storages"]["size"] = []
    file.write_text(json.dumps(table))
    assert cache.load(RECIPE, "cuda", AMPERE) is None


def test_a_factory_is_never_kept(tmp_path):
    cache = TraceCache(tmp_path)
    cache.save(Recipe(name="mine", objective="custom", factory="/a/b.py:build"), "cuda", AMPERE, TRACE)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    cache = TraceCache(tmp_path / "file" / "cache")
    cache.save(RECIPE, "cuda", AMPERE, TRACE)
    assert cache.load(RECIPE, "cuda", AMPERE) is None
