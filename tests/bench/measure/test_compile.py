"""Steps through torch.compile, which calls the C++ compiler of this machine."""

import json
import shutil

import pytest
import torch

from sslbench.bench.build import build_step
from sslbench.bench.errors import MeasureError, WorkerError
from sslbench.bench.fit import fit
from sslbench.bench.machines import find_machine
from sslbench.bench.measure.budget import Budget
from sslbench.bench.measure.manager import measure
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.cache import TraceCache

TINY_BERT = {
    "architectures": ["BertForMaskedLM"],
    "model_type": "bert",
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
    **dict.fromkeys(("attention_probs_dropout_prob", "hidden_dropout_prob"), 0.0),
}
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture
def recipe(tmp_path):
    """Masked language modelling with a tiny BERT, compiled."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY_BERT))
    changes = {"model": str(folder), "batch_size": 2, "seq_len": 16, "compile": True}
    return resolve_recipe("bert-mini-mlm", changes)


@pytest.fixture(autouse=True)
def _cold_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of processes for one small step


def values(recipe):
    torch.manual_seed(0)
    step = build_step(recipe, torch.device("cpu"))
    torch.manual_seed(1)
    found = [step().float().mean().item() for _ in range(3)]
    torch.compiler.reset()
    return found


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")  # the compiler's own
@pytest.mark.parametrize("stage", ["train", "infer"])
def test_a_compiled_step_gives_the_same_numbers(recipe, stage):
    recipe = resolve_recipe("finetune-bert-mini", {**same(recipe), "stage": stage})  # draws no mask
    assert values(recipe) == pytest.approx(values(recipe.with_options(compile=False)), rel=1e-4)


def same(recipe):
    return {key: getattr(recipe, key) for key in ("model", "batch_size", "seq_len", "compile")}


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_compiled_recipe_is_measured(recipe):
    budget = Budget(steps=5, warmup=3, timeout=550)
    record = measure(recipe, backend="torch-cpu", budget=budget, command=[], predict=False)
    assert record.recipe.compile
    assert len(record.time.samples_seconds) == 5


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_machine_without_a_compiler_is_told_so(recipe, monkeypatch):
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(WorkerError, match=r"--compile: torch.compile failed here \(.*C\+\+ compiler.*leave out --comp"):
        measure(recipe, backend="torch-cpu", budget=Budget(steps=2, warmup=2), command=[], predict=False)


def test_onnx_runtime_has_a_compiler_of_its_own(recipe):
    recipe = recipe.with_options(stage="infer")
    with pytest.raises(MeasureError, match="--compile: onnx-cpu has a compiler of its own: use a torch backend"):
        measure(recipe, backend="onnx-cpu", command=[])


def predicted(recipe, machine):
    """The eager and the compiled prediction, and the warnings that only the second has."""
    eager, compiled = (
        fit(each, [find_machine(machine)], cache=TraceCache(None), command=[])[0]
        for each in (recipe.with_options(compile=False), recipe)
    )
    return eager, compiled, [text for text in compiled.warnings if text not in eager.warnings]


def test_a_compiled_recipe_takes_less_time_and_the_memory_of_the_eager_one(recipe):
    eager, compiled, (warning,) = predicted(recipe, "rtx-4090")
    assert compiled.memory == eager.memory
    assert compiled.time.step_seconds < eager.time.step_seconds
    assert compiled.work.flops == eager.work.flops
    assert compiled.work.bytes_read < eager.work.bytes_read
    assert warning == "torch.compile: memory is predicted as of the eager step; a compiled one often needs less"


def test_on_a_processor_a_compiled_recipe_is_predicted_as_eager(recipe):
    eager, compiled, (warning,) = predicted(recipe, "laptop-16gb")
    assert compiled.time == eager.time
    assert "on a processor: predicted as eager" in warning
