import math
import re
from pathlib import Path

import pytest
import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.backward import aten, decompositions
from sslbench.bench.onnx.manifest import MANIFEST_FILE, read_manifest
from sslbench.bench.onnx.session import open_training
from sslbench.bench.onnx.training_export import export_training
from sslbench.bench.resolve import resolve_recipe
from sslbench.kernels.catalog import recipe_tables

PAGE = Path(__file__).parents[3] / "docs" / "onnx-training.md"
REFUSED = {"moco v2": r"oldest of the network \(_MoCoV2\) is a number of the host that changes in every step"}


def test_an_objective_trains_as_torch_does_or_says_why_not(case, exported):
    if case in REFUSED:
        with pytest.raises(MeasureError, match=REFUSED[case]):
            exported(case)
        return
    folder = exported(case, steps=10)  # compared with torch after every one
    session = open_training(folder, threads=1)
    before = session.state()
    assert math.isfinite(session.step() + session.step())
    after = session.state()
    changed = [name for name in before if name.startswith("parameter.") and (before[name] != after[name]).any()]
    assert changed


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "lars"])
def test_every_optimizer_is_part_of_the_graph(optimizer, exported):
    exported("simclr resnet", optimizer=optimizer, steps=10)


@pytest.mark.slow
def test_accumulation_is_part_of_the_graph(exported):
    exported("mlm", options={"accumulation": 2})


@pytest.mark.slow
def test_where_rounding_makes_a_gradient_jump_another_seed_is_taken(tmp_path):
    # torch's own fp32 and fp64 gradients of this step differ by 0.3 % for some seeds: ReLUs whose input is nearly 0
    recipe = resolve_recipe("simclr-resnet18", {"batch_size": 4, "image_size": 64})
    assert export_training(recipe, tmp_path / "step") < 0.01


def test_every_objective_of_the_catalog_is_tried(cases):
    tried = {recipe_tables()[name]["objective"] for name in cases.values()}
    assert tried == {table["objective"] for table in recipe_tables().values()}


def test_the_page_says_which_objectives_train(cases):
    rows = re.findall(r"^\| ([a-z0-9 -]+) \| (yes|no) \|", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert dict(rows) == {case: "no" if case in REFUSED else "yes" for case in cases}


@pytest.mark.slow
def test_a_step_that_computes_something_else_is_refused_and_leaves_nothing(small, tmp_path, monkeypatch):
    rules = decompositions()

    def wrong(dy, x, weight, *rest):
        dx, dw, db = rules[aten.convolution_backward.default](dy, x, weight, *rest)
        return dx, dw * 1.5 if weight.shape[-1] == 7 else dw, db

    monkeypatch.setattr(
        "sslbench.bench.onnx.capture.decompositions", lambda: {**rules, aten.convolution_backward.default: wrong}
    )
    recipe = small("simclr resnet", optimizer="sgd")
    with pytest.raises(MeasureError, match=r"else than torch: after 1 steps optimizer.*embedder.*momentum_buffer is"):
        export_training(recipe, tmp_path / "step")
    assert list((tmp_path / "step").iterdir()) == []


@pytest.mark.slow
def test_an_operator_without_a_translation_is_named_with_its_module(small, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.functional, "gelu", lambda x, **_: torch.special.i0e(x))
    problem = (
        r"operator prims.bessel_i0e.default, a part of aten.special_i0e.default, of encoder.*\(GELU\w*\) has no ONNX"
    )
    with pytest.raises(MeasureError, match=problem):
        export_training(small("simclr vit"), tmp_path / "step")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stage": "infer"}, "is an inference step"),
        ({"precision": "bf16"}, "exported in fp32 only, not bf16"),
        ({"activation_checkpointing": True}, "activation checkpointing cannot be exported"),
        ({"precision": "bf16", "options": {"weights": "bf16"}}, "exported in fp32 only, not bf16"),
    ],
)
def test_what_cannot_be_exported_is_said_at_once(small, tmp_path, changes, problem):
    with pytest.raises(MeasureError, match=problem):
        export_training(small("mlm", **changes), tmp_path / "step")


def test_a_folder_that_cannot_be_made_is_named(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MeasureError, match="file: the training step cannot be written"):
        export_training(small("mlm"), tmp_path / "file")


@pytest.mark.slow
def test_an_earlier_export_is_replaced(small, tmp_path):
    export_training(small("mlm"), tmp_path)
    (tmp_path / MANIFEST_FILE).write_text("{")
    export_training(small("finetune"), tmp_path)
    assert read_manifest(tmp_path).recipe == "finetune-bert-mini"
