"""An exported inference step, ready to run: a session with its batch and its results bound. Imports no torch."""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types

from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE, load_arrays, read_exported
from sslbench.bench.onnx.options import open_session, session_options
from sslbench.bench.onnx.providers import PROVIDERS

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
"""Of results; those of any other type are ONNX Runtime's to allocate."""


OPTIMISED_FILE = "optimised.onnx"
_PROFILE = "profile"
_WEIGHTS_FILE = "session.optimized_model_external_initializers_file_name"
_WEIGHTS_FROM = "session.optimized_model_external_initializers_min_size_in_bytes"


class Runner:
    """Runs one batch again and again, on buffers that are allocated once.

    The batch is copied to the device when it is bound, and results stay there: a step copies neither.

    Args:
        folder: of the exported model.
        backend: a key of `PROVIDERS`.
        settings: of `--onnx`.
        precision: of the recipe.
        observe: a folder where ONNX Runtime writes a profile of the session and the graph that it made of the model.

    Raises:
        MeasureError: a file is damaged, or ONNX Runtime cannot load the model.
    """

    def __init__(
        self,
        folder: Path,
        backend: str,
        settings: Mapping[str, Any],
        *,
        precision: str = "fp32",
        observe: Path | None = None,
    ) -> None:
        arrays = load_arrays(folder / INPUTS_FILE)
        exported = read_exported(folder)
        options = session_options(settings)
        if exported.batch:  # known before the graph is optimised, as in a model that was exported for one size
            options.add_free_dimension_override_by_name(exported.batch, len(arrays[0]))
        if observe is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(observe / _PROFILE)
            options.optimized_model_filepath = str(observe / OPTIMISED_FILE)
            options.add_session_config_entry(_WEIGHTS_FILE, f"{OPTIMISED_FILE}.data")
            options.add_session_config_entry(_WEIGHTS_FROM, "1024")
        self._session = open_session(folder / MODEL_FILE, backend, options, precision=precision)
        self._device = PROVIDERS[backend].device
        self._binding = self._session.io_binding()
        self.output_names = [entry.name for entry in self._session.get_outputs()]
        self._inputs = [self._value(array) for array in arrays]
        for entry, value in zip(self._session.get_inputs(), self._inputs, strict=True):  # both in the module's order
            self._binding.bind_ortvalue_input(entry.name, value)
        for entry in self._session.get_outputs():
            self._bind_output(entry)
        self.bound_bytes = sum(array.nbytes for array in arrays) + sum(map(_size, self._session.get_outputs()))

    def step(self) -> None:
        """Run the batch; returns when the device is done."""
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def outputs(self) -> list[np.ndarray]:
        """The results of the latest step, copied from the device."""
        return [np.array(value.numpy()) for value in self._binding.get_outputs()]

    def end_profiling(self) -> Path:
        """Finish the profile; the file that holds it."""
        return Path(self._session.end_profiling())

    def _value(self, array: np.ndarray) -> Any:
        # On the processor the value shares the array's memory, and keeps the array.
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0)

    def _bind_output(self, entry: Any) -> None:
        if not _size(entry):  # ONNX Runtime allocates what it knows only while it runs
            self._binding.bind_output(entry.name, self._device, 0)
            return
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(entry.shape, _TYPES[entry.type], self._device, 0)
        self._binding.bind_ortvalue_output(entry.name, value)


def _size(entry: Any) -> int:
    """Bytes of an input or output; 0 where they are not known before it runs."""
    if entry.type not in _TYPES or not all(isinstance(size, int) for size in entry.shape):
        return 0
    return int(prod(entry.shape)) * np.dtype(_TYPES[entry.type]).itemsize
