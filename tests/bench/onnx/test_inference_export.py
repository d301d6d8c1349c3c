"""Inference steps as ONNX: every objective, a batch of any size, and what is said where a module cannot be exported."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.differences import TOLERANCE, check_outputs
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE, OUTPUTS_FILE, load_arrays, read_exported
from sslbench.bench.onnx.inference_export import export, export_inference
from sslbench.bench.onnx.runner import Runner


def outputs_of(folder, arrays):
    """What the model gives for a batch of any size."""
    session = onnxruntime.InferenceSession(folder / MODEL_FILE, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def test_every_objective_computes_what_torch_computes_at_any_batch(case, small, tmp_path):
    exported = export_inference(small(case, stage="infer"), tmp_path)
    runner = Runner(tmp_path, "onnx-cpu", {})
    runner.step()
    expected = load_arrays(tmp_path / OUTPUTS_FILE)
    check_outputs(runner.outputs(), expected, TOLERANCE["fp32"])
    assert exported.batch == "batch"
    alone = outputs_of(tmp_path, [array[:1] for array in load_arrays(tmp_path / INPUTS_FILE)])
    check_outputs(alone, [array[:1] for array in expected], TOLERANCE["fp32"])


def test_a_folder_describes_what_is_in_it(small, tmp_path):
    recipe = small("mlm", stage="infer", batch_size=1)
    export_inference(recipe, tmp_path, opset=19)
    exported = read_exported(tmp_path)
    assert exported.opset == 19
    assert onnx.load(tmp_path / MODEL_FILE).opset_import[0].version == 19
    assert exported.batch == "batch"  # of one sample, too
    assert exported.parameters > 120 * 32  # the embedding is counted once
    assert set(exported.digests) == {path.name for path in tmp_path.iterdir()} - {"exported.json"}


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_weights_and_batch(small, tmp_path):
    recipe, folders = small("mlm", stage="infer"), [tmp_path / "one", tmp_path / "two"]
    before = torch.get_rng_state()
    for folder in folders:
        folder.mkdir()
        export_inference(recipe, folder)
    assert torch.equal(torch.get_rng_state(), before)
    one, two = (load_arrays(folder / OUTPUTS_FILE) for folder in folders)
    assert all(np.array_equal(*pair) for pair in zip(one, two, strict=True))


class Difference(torch.nn.Module):
    def forward(self, minuend, subtrahend):
        return (minuend - subtrahend,)


def test_inputs_meet_the_models_inputs_in_order(tmp_path):
    inputs = (torch.full((2, 3), 5.0), torch.full((2, 3), 3.0))
    exported = export(Difference().eval(), inputs, tmp_path)
    np.savez(tmp_path / INPUTS_FILE, *(tensor.numpy() for tensor in inputs))
    exported.write(tmp_path)
    runner = Runner(tmp_path, "onnx-cpu", {})
    runner.step()
    (found,) = runner.outputs()
    assert np.array_equal(found, np.full((2, 3), 2.0))


class Fixed(torch.nn.Module):
    def forward(self, x):
        return x.reshape(2, 3) * 2


def test_a_module_of_one_batch_is_exported_for_it_with_a_warning(tmp_path):
    exported = export(Fixed().eval(), (torch.ones(2, 3),), tmp_path)
    assert exported.batch == ""
    (warning,) = exported.warnings
    assert warning.startswith("the model is exported for this batch alone: ")
    assert "\n" not in warning


class Branch(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Spectrum(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Sequential(torch.nn.Linear(4, 4), Eigenvalues())

    def forward(self, x):
        return self.head(x)


class Eigenvalues(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.eigvalsh(x)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (Branch, (2,), r"cannot be exported to ONNX: .*data-dependent"),
        (Spectrum, (2, 4, 4), r"operator aten._linalg_eigh.default of head.1 \(Eigenvalues\) has no ONNX translation"),
    ],
)
def test_what_cannot_be_exported_says_why(tmp_path, module, shape, message):
    with pytest.raises(MeasureError, match=message) as caught:
        export(module().eval(), (torch.ones(shape),), tmp_path)
    assert "\n" not in str(caught.value)


def test_bf16_has_no_place_in_numpy(small, tmp_path):
    recipe = small("mlm", stage="infer", precision="bf16", options={"weights": "bf16"})
    with pytest.raises(MeasureError, match="use --precision fp32"):
        export_inference(recipe, tmp_path)


def test_an_opset_that_is_not_there_names_the_newest(small, tmp_path):
    newest = onnx.defs.onnx_opset_version()
    with pytest.raises(MeasureError, match=f"--onnx opset: onnx .* has none newer than {newest}, got {newest + 1}"):
        export_inference(small("mlm", stage="infer"), tmp_path, opset=newest + 1)
