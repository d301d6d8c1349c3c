"""Which line of which file a storage is attributed to."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import transformers

from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.events import BACKWARD, FORWARD, OPTIMIZER, Trace
from sslbench.bench.trace.lines import readable
from sslbench.bench.trace.recipes import trace_recipe
from sslbench.bench.trace.tracer import trace_step

STEP = """\
import copy
import torch
from torch.utils.checkpoint import checkpoint


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2  # doubled

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2  # doubled backward


def body(x):
    return torch.tanh(x)  # recomputed


def build(device, batch_size=4):
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.GELU()).to(device)  # parameters
    teacher = copy.deepcopy(model)  # copied
    optimizer = torch.optim.AdamW(model.parameters())
    x = torch.randn(batch_size, 32, device=device)  # input

    def step():
        hidden = model(x)  # hidden
        wide = torch.cat([hidden, hidden], 1)  # cat
        twice = Double.apply(wide)
        kept = checkpoint(body, twice, use_reentrant=False)
        loss = kept.view(-1, 1, 128).expand(-1, 2, 128).exp().sum()  # loss
        loss.backward()
        optimizer.step()  # update
        optimizer.zero_grad()

    return step
"""


@pytest.fixture
def trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_step.py").write_text(STEP, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("lines_of_my_step", tmp_path / "my_step.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return trace_step(module.build, "cuda")


def line(comment):
    (number,) = (number for number, text in enumerate(STEP.splitlines(), 1) if text.endswith(f"# {comment}"))
    return f"my_step.py:{number}"


def made(trace, *, line=None, phase=None, category=None):
    """Operators of the storages with these attributes."""
    return {
        storage.operator
        for storage in trace.storages
        if line in (None, trace.lines[storage.line])
        and phase in (None, storage.phase)
        and category in (None, storage.category)
    }


def lines_of(trace, operator, phase=None):
    return {
        trace.lines[storage.line]
        for storage in trace.storages
        if storage.operator == operator and phase in (None, storage.phase)
    }


def test_forward_storages_have_the_line_that_made_them(trace):
    assert lines_of(trace, "aten.cat.default") == {line("cat")}
    assert lines_of(trace, "aten.addmm.default") == lines_of(trace, "aten.gelu.default") == {line("hidden")}
    assert made(trace, line=line("loss"), phase=FORWARD) == {"aten.exp.default", "aten.sum.default"}
    assert lines_of(trace, "aten.mul.Tensor", FORWARD) == {line("doubled")}


def test_what_is_built_has_its_line_too(trace):
    assert lines_of(trace, "aten.randn.default") == {line("input")}
    assert lines_of(trace, "aten.clone.default") == {line("copied")}
    assert {trace.lines[storage.line] for storage in trace.storages if storage.category == "parameter"} == {
        line("parameters")
    }


def test_backward_storages_have_the_line_of_the_forward_operator(trace):
    assert lines_of(trace, "aten.gelu_backward.default") == {line("hidden")}
    assert lines_of(trace, "aten.sum.dim_IntList", BACKWARD) == {line("loss"), line("hidden")}  # of expand and bias
    assert lines_of(trace, "aten.mm.default", BACKWARD) == {line("hidden")}


def test_code_that_runs_inside_backward_is_its_own_origin(trace):
    assert lines_of(trace, "aten.mul.Tensor", BACKWARD) >= {line("doubled backward")}
    assert lines_of(trace, "aten.tanh.default") == {line("recomputed")}
    assert lines_of(trace, "aten.tanh_backward.default") == {line("recomputed")}


def test_the_optimizers_storages_have_the_line_of_its_step(trace):
    assert made(trace, phase=OPTIMIZER)
    assert {trace.lines[storage.line] for storage in trace.storages if storage.phase == OPTIMIZER} == {line("update")}


def test_parameters_gradients_and_states_belong_to_the_parameters_module(trace):
    homes = {
        category: {trace.modules[storage.module] for storage in trace.storages if storage.category == category}
        for category in ("parameter", "gradient", "optimizer state")
    }
    assert homes["gradient"] == homes["optimizer state"] == {"Sequential.0"}
    assert "Sequential.0" in homes["parameter"]


def test_backward_storages_belong_to_the_module_of_the_forward_operator(trace):
    (module,) = {storage.module for storage in trace.storages if storage.operator == "aten.gelu_backward.default"}
    assert trace.modules[module] == "Sequential.1"


def test_calls_have_line_and_module_in_backward_those_of_the_forward_operator(trace):
    places = {
        (trace.kinds[call.kind].name, call.phase): (trace.modules[call.module], trace.lines[call.line])
        for call in trace.calls
    }
    assert places["aten.cat.default", FORWARD] == ("", line("cat"))
    assert places["aten.gelu.default", FORWARD] == ("Sequential.1", line("hidden"))
    assert places["aten.gelu_backward.default", BACKWARD] == ("Sequential.1", line("hidden"))
    assert {where for (_, phase), (_, where) in places.items() if phase == OPTIMIZER} == {line("update")}


def test_lines_survive_json(trace):
    assert Trace.from_json(trace.to_json()) == trace
    assert all(0 <= storage.line < len(trace.lines) for storage in trace.storages)


@pytest.mark.parametrize("target", ["cuda", "cpu"])
def test_a_models_lines_are_those_of_its_library(target):
    recipe = Recipe(name="a", objective="mlm", model="bert-mini", batch_size=2, seq_len=8)
    trace = trace_recipe(recipe, target, (8, 0))
    activations = {trace.lines[storage.line] for storage in trace.storages if storage.category == "activation"}
    assert activations
    for place in activations:
        path, _, number = place.rpartition(":")
        assert path.startswith(("transformers/", "sslbench/kernels/"))
        assert int(number) > 0
    assert not any(storage.line == 0 for storage in trace.storages)


def test_files_are_named_from_the_folder_that_a_person_knows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert readable(str(tmp_path / "models" / "mine.py")) == "models/mine.py"
    assert readable(transformers.__file__) == "transformers/__init__.py"
    assert readable("/elsewhere/step.py") == "/elsewhere/step.py"
    monkeypatch.setattr(sys, "path", ["", "/elsewhere/src"])
    assert readable("/elsewhere/src/mine/step.py") == "mine/step.py"
    own = sys.modules["sslbench.bench.recipe"].__file__
    assert readable(own) == "sslbench/bench/recipe.py"


@pytest.mark.parametrize(
    "path", [torch.nn.functional.__file__, sys.modules[trace_step.__module__].__file__, Path.__module__, "<string>"]
)
def test_torch_the_tracer_the_standard_library_and_generated_code_are_skipped(path):
    assert readable(sys.modules[path].__file__ if path == "pathlib" else path) == ""
