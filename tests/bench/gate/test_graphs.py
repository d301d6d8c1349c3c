"""Graph breaks and ONNX nodes of a snapshot."""

import pytest

from sslbench.bench.errors import RecipeError
from sslbench.bench.gate.exact import compare_snapshots
from sslbench.bench.gate.snapshot import write_snapshot
from sslbench.bench.gate.take import Asked, find_target, take_snapshot
from sslbench.bench.trace.cache import TraceCache

COMPILED = """\
import torch


def build(device, batch_size=16):
    model = torch.nn.Linear(8, 8).to(device)

    def loss_of(x):
        y = model(x)
        return y.sum()

    compiled = torch.compile(loss_of)
    x = torch.randn(batch_size, 8, device=device)
    return lambda: compiled(x).backward()
"""


def snapshot(recipe, **asked):
    return take_snapshot([Asked(recipe, {}, find_target("cuda"), **asked)], TraceCache(None))


@pytest.mark.slow
def test_a_graph_break_is_found_at_its_line(project, tmp_path):
    (project / "compiled.py").write_text(COMPILED, encoding="utf-8")
    base = snapshot("compiled.py:build", graph=True)
    assert base.steps[0].graph.model_dump() == {"graphs": 1, "breaks": 0, "reasons": ()}
    assert base.steps[0].sites == snapshot("compiled.py:build").steps[0].sites
    write_snapshot(tmp_path / "base.json", base)
    broken = COMPILED.replace("        return y.sum()\n", "        print('looking')\n        return y.sum()\n")
    (project / "compiled.py").write_text(broken, encoding="utf-8")
    comparison = compare_snapshots(tmp_path / "base.json", project)
    (breaks,) = (metric for metric in comparison.steps[0].metrics if metric.name == "graph.breaks")
    assert (breaks.base, breaks.new, breaks.outcome) == (0, 1, "regression")
    (cause,) = breaks.causes
    assert (cause.file, cause.line) == ("compiled.py", 9)
    assert comparison.exit_code == 1


@pytest.mark.slow
def test_nodes_of_the_exported_step(project):
    snapshot_ = take_snapshot(
        [Asked("simclr-resnet18", {"batch_size": 2}, find_target("cuda"), onnx=True)], TraceCache(None)
    )
    nodes = snapshot_.steps[0].onnx
    assert nodes.operators["Conv"] == 20  # of ResNet-18: 1 + 16 + 3 in its shortcuts
    assert nodes.nodes == sum(nodes.operators.values())
    assert {"onnx", "onnxscript"} <= snapshot_.versions.keys()


def test_a_step_of_ones_own_cannot_be_exported(project):
    with pytest.raises(RecipeError, match="leave --onnx away"):
        snapshot("my_step.py:build", onnx=True)
