"""fp16 and int8 are made from the fp32 model: smaller, near enough, and from the kept one where there is one."""

import numpy as np
import onnx
import pytest

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.cache import ModelCache
from sslbench.bench.onnx.differences import TOLERANCE, check_outputs
from sslbench.bench.onnx.exported import (
    INPUTS_FILE,
    MODEL_FILE,
    OUTPUTS_FILE,
    Exported,
    load_arrays,
    model_bytes,
    read_exported,
)
from sslbench.bench.onnx.models import exported_model
from sslbench.bench.onnx.precision import convert
from sslbench.bench.onnx.runner import Runner


def error_of(folder, precision):
    runner = Runner(folder, "onnx-cpu", {})
    runner.step()
    return check_outputs(runner.outputs(), load_arrays(folder / OUTPUTS_FILE), TOLERANCE[precision])


@pytest.fixture
def models(small, tmp_path):
    """The folders of a case's model by precision; `exports` counts how often torch exported."""
    cache, exports = ModelCache(tmp_path / "kept"), []

    def make(case, *precisions):
        recipe = small(case, stage="infer")
        return [
            exported_model(
                recipe.with_options(precision=precision),
                cache,
                tmp_path,
                before_export=lambda: exports.append(None),
            )
            for precision in precisions
        ]

    make.exports = exports
    return make


@pytest.mark.slow
def test_half_and_eight_bits_come_from_the_kept_model(models):
    folders = dict(zip(("fp32", "fp16", "int8", "tf32"), models("mlm", "fp32", "fp16", "int8", "tf32"), strict=True))
    assert len(models.exports) == 1
    assert folders["tf32"] == folders["fp32"]
    assert read_exported(folders["int8"]).warnings == []
    sizes = {precision: model_bytes(folder) for precision, folder in folders.items()}
    assert sizes["int8"] < sizes["fp16"] < sizes["fp32"]
    errors = {precision: error_of(folder, precision) for precision, folder in folders.items()}
    assert errors["fp32"] < 1e-5 < errors["fp16"] < errors["int8"]


def test_convolutions_stay_in_fp32_beside_int8(models):
    (folder,) = models("simclr resnet", "int8")
    operators = {node.op_type for node in onnx.load(folder / MODEL_FILE, load_external_data=False).graph.node}
    assert "Conv" in operators
    assert "ConvInteger" not in operators
    (warning,) = read_exported(folder).warnings
    assert warning.startswith("int8: the model has no matrix product")


def test_fp16_takes_and_gives_fp32(models):
    (folder,) = models("simclr resnet", "fp16")
    runner = Runner(folder, "onnx-cpu", {})
    runner.step()
    assert runner.outputs()[0].dtype == np.float32
    assert error_of(folder, "fp16") < TOLERANCE["fp16"]


def test_a_model_that_cannot_be_converted_says_so(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y"))
    unknown = onnx.helper.make_node("NoSuchOperator", ["x"], ["y"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([unknown], "g", [x], [y])), source / MODEL_FILE)
    for name in (INPUTS_FILE, OUTPUTS_FILE):
        np.savez(source / name)
    with pytest.raises(MeasureError, match=r"the exported model cannot be converted to fp16: .*NoSuchOperator"):
        convert(source, Exported(opset=20), target, "fp16")
