"""An exported fp32 model in another precision. Imports no torch.

fp16 is ONNX Runtime's own converter: weights and operators in half precision, inputs and outputs as they were, and
operators that have no half-precision form in fp32 between casts. int8 is its dynamic quantisation: weights of matrix
products and embeddings in 8 bits, each matrix with one scale, activations quantised by their range while the step runs.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]  # ships no types
from onnxruntime.transformers.float16 import convert_float_to_float16  # type: ignore[import-untyped]
from onnxruntime.transformers.onnx_model import OnnxModel  # type: ignore[import-untyped]

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE, OUTPUTS_FILE, WEIGHTS_FILE, Exported, model_bytes

CONVERTED = ("fp16", "int8")
"""Precisions that are made from the fp32 model."""
_QUANTISED = ("MatMul", "Gemm", "Gather", "Attention", "LSTM")
"""Not Conv: ONNX Runtime's integer convolution takes 2 (uint8 weights) to 4 times (int8) as long as that in fp32
(ResNet-18, onnxruntime 1.31, one thread, AVX-512 with VNNI)."""
_LARGEST_MESSAGE = 2**31 - 1
"""Bytes of a protobuf message; onnx infers shapes in one."""


def convert(source: Path, exported: Exported, folder: Path, precision: str) -> None:
    """Write the model of one folder into another, empty one, in fp16 or int8; inputs and expected outputs stay.

    Args:
        source: folder of the fp32 model.
        exported: its description.
        folder: where.
        precision: `fp16` or `int8`.

    Raises:
        MeasureError: the model cannot be converted.
    """
    for name in (INPUTS_FILE, OUTPUTS_FILE):
        shutil.copyfile(source / name, folder / name)
    is_small = model_bytes(source) < _LARGEST_MESSAGE
    try:
        with _quiet():
            (_to_int8 if precision == "int8" else _to_fp16)(source / MODEL_FILE, folder / MODEL_FILE, is_small)
        onnx.checker.check_model(folder / MODEL_FILE)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())[:400]
        raise MeasureError(f"the exported model cannot be converted to {precision}: {text}") from error
    if precision == "int8" and not _has_eight_bits(folder / MODEL_FILE):
        warning = "int8: the model has no matrix product or embedding to quantise, and computes in fp32"
        exported = replace(exported, warnings=[*exported.warnings, warning])
    exported.write(folder)


def _to_fp16(source: Path, target: Path, is_small: bool) -> None:
    half = OnnxModel(convert_float_to_float16(onnx.load(source), keep_io_types=True, disable_shape_infer=not is_small))
    half.topological_sort()  # casts stand at the end
    onnx.save_model(half.model, target, save_as_external_data=True, location=WEIGHTS_FILE)


def _to_int8(source: Path, target: Path, _is_small: bool) -> None:
    quantize_dynamic(
        onnx.load(source),  # by its path it would write beside the source
        target,
        op_types_to_quantize=list(_QUANTISED),
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )


def _has_eight_bits(path: Path) -> bool:
    weights = onnx.load(path, load_external_data=False).graph.initializer
    return any(
        weight.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8) and weight.dims for weight in weights
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Both tell of every constant that is clipped, and of steps that they advise and that are taken here anyway."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
