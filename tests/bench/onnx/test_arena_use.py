"""The arena's figures from ONNX Runtime's own profile: of a real session, and of one whose events are written here."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sslbench.bench.onnx.arena_use import ArenaUse, read_arena_use
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE, Exported
from sslbench.bench.onnx.runner import OPTIMISED_FILE, Runner

MIB = 2**20
SHAPE = (512, 512)  # 1 MiB


@pytest.fixture
def folder(tmp_path):
    """Sin, Transpose, Cos, Transpose: none but the last result is bound, two of the others are alive at a time."""
    steps = [("Sin", "x", "a"), ("Transpose", "a", "b"), ("Cos", "b", "c"), ("Transpose", "c", "y")]
    nodes = [helper.make_node(kind, [given], [result]) for kind, given, result in steps]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("x", "y"))
    model = helper.make_model(helper.make_graph(nodes, "sines", [x], [y]), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, tmp_path / MODEL_FILE)
    np.savez(tmp_path / INPUTS_FILE, np.zeros(SHAPE, np.float32))
    Exported(opset=18).write(tmp_path)
    return tmp_path


def observed(folder, settings):
    runner = Runner(folder, "onnx-cpu", settings, observe=folder)
    runner.step()
    runner.step()
    return read_arena_use(runner.end_profiling()), runner


def test_what_is_alive_at_a_time_is_counted_and_what_is_bound_is_not(folder):
    use, runner = observed(folder, {"graph": "off"})
    assert use.step_bytes == 2 * MIB
    assert use.held_bytes >= 2 * MIB
    assert runner.bound_bytes == 2 * MIB
    assert (folder / OPTIMISED_FILE).exists()


def test_without_an_arena_there_are_no_figures(folder):
    use, _ = observed(folder, {"arena": False})
    assert use is None


def event(name, **statistics):
    return {"name": name, "args": {f"mem_{key}": str(value) for key, value in statistics.items()}}


def test_a_kernels_own_scratch_counts_and_weights_that_were_repacked_before_do_not(tmp_path):
    events = [
        event("a_kernel_time", bytes_in_use=150, in_use_delta=50, in_use_peak=150, arena_held=400),
        event("b_kernel_time", bytes_in_use=170, in_use_delta=20, in_use_peak=210, arena_held=400),
        {"name": "model_run"},
        event("a_kernel_time", bytes_in_use=300, in_use_delta=0, in_use_peak=300, arena_held=900),
        {"name": "model_run"},
    ]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    assert read_arena_use(path) == ArenaUse(step_bytes=110, held_bytes=900)
    events[0]["args"]["mem_in_use_peak"] = events[1]["args"]["mem_in_use_peak"] = "1000"  # while weights were repacked
    path.write_text(json.dumps(events))
    assert read_arena_use(path) == ArenaUse(step_bytes=70, held_bytes=900)


@pytest.mark.parametrize("text", ["[]", '[{"name": "model_run"}]'])
def test_a_profile_without_figures_gives_none(tmp_path, text):
    (tmp_path / "profile.json").write_text(text)
    assert read_arena_use(tmp_path / "profile.json") is None
