import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE
from sslbench.bench.onnx.manifest import MANIFEST_FILE, STATE_FILE
from sslbench.bench.onnx.session import open_training
from sslbench.bench.onnx.training_export import export_training

RUN = """
import sys
from pathlib import Path
from sslbench.bench.onnx.session import open_training
session = open_training(Path(sys.argv[1]), threads=1)
losses = [session.step() for _ in range(30)]
assert "torch" not in sys.modules
assert sum(losses[-5:]) < sum(losses[:5]), losses
"""


@pytest.fixture(scope="module")
def mlm(small, tmp_path_factory):
    """An exported step that draws random masks and dropout."""
    folder = tmp_path_factory.mktemp("mlm")
    export_training(small("mlm", options={"learning_rate": 0.01}), folder)
    return folder


@pytest.fixture
def copy(mlm, tmp_path):
    """The same, to be damaged."""
    return shutil.copytree(mlm, tmp_path / "copy")


def test_it_trains_in_a_process_without_torch(mlm):
    subprocess.run([sys.executable, "-P", "-c", RUN, mlm], check=True)


def test_masks_and_dropout_are_fresh_in_every_step(mlm):
    session = open_training(mlm, threads=1)
    session.feed({"learning_rate": np.zeros(())})
    before = session.state()
    losses = {session.step() for _ in range(6)}
    assert len(losses) == 6
    after = session.state()
    assert all(np.array_equal(before[name], after[name]) for name in before if name.startswith("parameter."))
    assert after["optimizer.count"] == 6


def test_a_state_is_a_copy(mlm):
    session = open_training(mlm, threads=1)
    first = session.state()
    kept = {name: array.copy() for name, array in first.items()}
    for _ in range(3):
        session.step()
    assert all(np.array_equal(first[name], kept[name]) for name in kept)
    assert not all(np.array_equal(session.state()[name], kept[name]) for name in kept)


def test_the_batch_can_be_replaced(mlm):
    session = open_training(mlm, threads=1)
    tokens = np.full((2, 16), 7)
    for _ in range(40):
        session.feed({"batch.0": tokens})
        loss = session.step()
    assert loss < 1  # one token is soon learnt


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"batch.7": np.zeros(1)}, r"no input 'batch.7': it has .*batch.0"),
        ({"batch.0": np.zeros((2, 15), np.int64)}, r"batch.0: expected int64\(2, 16\), got int64\(2, 15\)"),
        ({"batch.0": np.zeros((2, 16), np.float32)}, "batch.0: expected int64"),
    ],
)
def test_a_wrong_input_is_refused(mlm, inputs, problem):
    with pytest.raises(MeasureError, match=problem):
        open_training(mlm, threads=1).feed(inputs)


def test_a_provider_that_is_not_there_is_refused(mlm):
    with pytest.raises(MeasureError, match=r"has no NoSuchProvider, it has .*CPUExecutionProvider"):
        open_training(mlm, "NoSuchProvider")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(MeasureError, match=r"holds no exported training step \(training.json is missing\)"):
        open_training(tmp_path)


@pytest.mark.parametrize("name", [MODEL_FILE, STATE_FILE, INPUTS_FILE, MANIFEST_FILE])
def test_a_damaged_file_is_named(copy, name):
    path = copy / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(MeasureError, match=name):
        open_training(copy)


def test_a_state_that_is_missing_is_named(copy):
    np.savez(copy / STATE_FILE, other=np.zeros(1))
    with pytest.raises(MeasureError, match=r"state.npz: \S+ is missing: export"):
        open_training(copy)


def test_the_graph_holds_no_weights_and_pairs_every_state(mlm):
    manifest = json.loads((mlm / MANIFEST_FILE).read_text())
    graph = onnx.load(mlm / MODEL_FILE).graph
    inputs = {entry.name for entry in graph.input}
    assert inputs == {*manifest["inputs"], *manifest["fixed"], *manifest["updated"]}
    assert {entry.name for entry in graph.output} == {manifest["loss"], *manifest["updated"].values()}
    assert sum(node.op_type == "RandomUniform" for node in graph.node) >= 3
    assert (mlm / MODEL_FILE).stat().st_size < 3 * 2**20
