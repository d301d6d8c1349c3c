"""Models that are kept: found again, made again where they are damaged, and bounded in size."""

import os
import re
import time

import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.cache import ModelCache, model_folder
from sslbench.bench.onnx.exported import MODEL_FILE, Exported, is_whole
from sslbench.bench.resolve import resolve_recipe

RECIPE = resolve_recipe("bert-mini-mlm", {"stage": "infer"})


class Maker:
    """Writes a model of so many bytes, and counts how often."""

    def __init__(self, size=1000):
        self.size, self.calls = size, 0

    def __call__(self, folder):
        self.calls += 1
        (folder / MODEL_FILE).write_bytes(bytes(self.size))
        Exported(opset=20).write(folder)


@pytest.fixture
def make():
    return Maker()


def test_a_model_is_made_once(tmp_path, make):
    cache = ModelCache(tmp_path / "kept")
    folders = {cache.model(RECIPE, None, make, tmp_path / "other") for _ in range(2)}
    assert make.calls == 1
    (folder,) = folders
    assert is_whole(folder)
    assert folder.parent == tmp_path / "kept"
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("recipe", "opset", "same"),
    [
        (RECIPE.with_options(name="mine", title="Mine", optimizer="sgd"), None, True),
        (RECIPE.with_options(batch_size=3), None, False),
        (RECIPE.with_options(precision="int8"), None, False),
        (RECIPE, 19, False),
    ],
)
def test_what_changes_the_model_changes_where_it_is(tmp_path, make, recipe, opset, same):
    cache = ModelCache(tmp_path)
    first = cache.model(RECIPE, None, make, tmp_path)
    assert (cache.model(recipe, opset, make, tmp_path) == first) == same


def test_another_version_of_a_library_has_another_model(tmp_path, make, monkeypatch):
    cache = ModelCache(tmp_path)
    first = cache.model(RECIPE, None, make, tmp_path)
    monkeypatch.setattr("sslbench.bench.onnx.cache.package_version", lambda name: "9.9" if name == "onnx" else None)
    assert cache.model(RECIPE, None, make, tmp_path) != first


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "manifest"])
def test_a_damaged_model_is_made_again(tmp_path, make, damage):
    cache = ModelCache(tmp_path)
    folder = cache.model(RECIPE, None, make, tmp_path)
    model = folder / MODEL_FILE
    if damage == "cut":
        model.write_bytes(bytes(500))
    elif damage == "changed":
        model.write_bytes(b"\1" + bytes(999))
    elif damage == "gone":
        model.unlink()
    else:
        (folder / "exported.json").write_text("{")
    assert not is_whole(folder)
    assert cache.model(RECIPE, None, make, tmp_path) == folder
    assert is_whole(folder)
    assert make.calls == 2


def test_the_oldest_go_when_all_are_too_large(tmp_path):
    cache = ModelCache(tmp_path, largest_bytes=2500)
    folders = []
    for batch in (1, 2, 3):
        folders.append(cache.model(RECIPE.with_options(batch_size=batch), None, Maker(900), tmp_path))
        os.utime(folders[-1], (batch, batch))
    folders.append(cache.model(RECIPE.with_options(batch_size=4), None, Maker(900), tmp_path))
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    huge = cache.model(RECIPE.with_options(batch_size=5), None, Maker(9000), tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [huge]


def test_what_a_killed_process_left_behind_goes_after_a_day(tmp_path, make):
    left, fresh = tmp_path / ".making-left", tmp_path / ".making-fresh"
    left.mkdir()
    fresh.mkdir()
    yesterday = time.time() - 25 * 3600
    os.utime(left, (yesterday, yesterday))
    ModelCache(tmp_path).model(RECIPE, None, make, tmp_path)
    assert not left.exists()
    assert fresh.exists()


@pytest.mark.parametrize("folder", [None, "a file"])
def test_where_nothing_can_be_kept_the_model_is_made_beside(tmp_path, make, folder):
    (tmp_path / "a file").write_text("")
    cache = ModelCache(None if folder is None else tmp_path / folder)
    assert cache.model(RECIPE, None, make, tmp_path / "other") == tmp_path / "other"
    assert make.calls == 1
    with pytest.raises(MeasureError, match=re.escape(f"{tmp_path / 'a file'}: the exported model cannot be written")):
        cache.model(RECIPE, None, make, tmp_path / "a file")


def test_a_model_that_cannot_be_made_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / MODEL_FILE).write_bytes(b"half")
        raise MeasureError("no such operator")

    with pytest.raises(MeasureError, match="no such operator"):
        ModelCache(tmp_path).model(RECIPE, None, fail, tmp_path / "other")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("SSLBENCH_CACHE_DIR", str(tmp_path))
    assert model_folder() == tmp_path / "onnx"
