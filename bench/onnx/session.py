"""Runs an exported training step in ONNX Runtime. Imports no torch: a process of this kind shows its own memory only.

State is kept twice: a step reads one copy and writes the other, and the next goes the other way. Written over its own
input, a weight could change while the backward pass still reads it.
"""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.exported import INPUTS_FILE, MODEL_FILE
from sslbench.bench.onnx.manifest import STATE_FILE, Manifest, read_manifest

CPU = "CPUExecutionProvider"
_DEVICES = {CPU: "cpu", "CUDAExecutionProvider": "cuda"}
_ERRORS_ONLY = 3
Arrays = Mapping[str, np.ndarray]


class TrainingSession:
    """A model that is being trained: every `step` updates the state that lies on the device.

    Args:
        model: path of the graph.
        manifest: of its inputs and outputs.
        state: first values of everything in `fixed` and `updated`.
        inputs: values of everything in `inputs`; they stay until `feed` replaces them.
        provider: ONNX Runtime's name of an execution provider.
        threads: of a step on the processor; 0 is ONNX Runtime's own choice.
        opened: a session of the graph on that provider with options of its own; the path and `threads` are then unused.

    Raises:
        MeasureError: the provider is not there, or ONNX Runtime cannot load the model.
    """

    def __init__(
        self,
        model: Path,
        manifest: Manifest,
        state: Arrays,
        inputs: Arrays,
        *,
        provider: str = CPU,
        threads: int = 0,
        opened: onnxruntime.InferenceSession | None = None,
    ) -> None:
        self.manifest = manifest
        self._device = _DEVICES.get(provider, "cpu")
        self._session = opened or _open(model, provider, threads)
        self._inputs = {name: self._value(inputs[name]) for name in manifest.inputs}
        self._types = {name: (inputs[name].shape, inputs[name].dtype) for name in manifest.inputs}
        fixed = {name: self._value(state[name]) for name in manifest.fixed}
        self._now = {name: self._value(state[name]) for name in manifest.updated}
        self._next = {name: self._value(state[name]) for name in manifest.updated}
        self.bound_bytes = sum(inputs[name].nbytes for name in manifest.inputs)
        """Bytes of inputs and of both copies of the state."""
        self.bound_bytes += sum(state[name].nbytes for name in (*manifest.fixed, *manifest.updated, *manifest.updated))
        self._loss = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((), np.float32), "cpu", 0)
        given = {**self._inputs, **fixed}
        self._binding = self._bind(given, self._now, self._next)
        self._next_binding = self._bind(given, self._next, self._now)

    def step(self) -> float:
        """One optimizer update; the loss before it. Returns when the device is done.

        Raises:
            MeasureError: ONNX Runtime cannot compute the step, for want of memory or of a kernel.
        """
        try:
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
        except Exception as error:  # the runtime's exceptions share no public base class
            raise MeasureError(f"ONNX Runtime failed in the training step: {' '.join(str(error).split())}") from error
        self._now, self._next = self._next, self._now
        self._binding, self._next_binding = self._next_binding, self._binding
        return float(self._loss.numpy())

    def feed(self, inputs: Arrays) -> None:
        """Replace inputs, such as the batch or the learning rate, from the next step on.

        Raises:
            MeasureError: there is no such input, or it has another shape or type.
        """
        for name, array in inputs.items():
            value = self._inputs.get(name)
            if value is None:
                raise MeasureError(f"the training step has no input {name!r}: it has {', '.join(self._inputs)}")
            shape, dtype = self._types[name]
            if (array.shape, array.dtype) != (shape, dtype):
                raise MeasureError(f"{name}: expected {dtype}{shape}, got {array.dtype}{array.shape}")
            value.update_inplace(np.ascontiguousarray(array))

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the steps change, copied from the device, by the names of the inputs."""
        return {name: np.array(value.numpy()) for name, value in self._now.items()}

    def _value(self, array: np.ndarray) -> onnxruntime.OrtValue:
        # A copy of its own even on the processor, where a value would otherwise share the array's memory.
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.array(array, order="C"), self._device, 0)

    def _bind(
        self,
        given: Mapping[str, onnxruntime.OrtValue],
        before: Mapping[str, onnxruntime.OrtValue],
        after: Mapping[str, onnxruntime.OrtValue],
    ) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        for name, value in {**given, **before}.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output(self.manifest.loss, self._loss)
        for name, output in self.manifest.updated.items():
            binding.bind_ortvalue_output(output, after[name])
        return binding


def open_training(
    folder: Path, provider: str = CPU, *, threads: int = 0, opened: onnxruntime.InferenceSession | None = None
) -> TrainingSession:
    """The training step that `export_training` wrote into a folder, at its first state.

    Raises:
        MeasureError: the folder holds none, one of its files is damaged, or as `TrainingSession`.
    """
    manifest = read_manifest(folder)
    state, inputs = _arrays(folder / STATE_FILE), _arrays(folder / INPUTS_FILE)
    _check_names(folder / STATE_FILE, state, [*manifest.fixed, *manifest.updated])
    _check_names(folder / INPUTS_FILE, inputs, manifest.inputs)
    return TrainingSession(
        folder / MODEL_FILE, manifest, state, inputs, provider=provider, threads=threads, opened=opened
    )


def _open(model: Path, provider: str, threads: int) -> onnxruntime.InferenceSession:
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise MeasureError(
            f"onnxruntime {onnxruntime.__version__} has no {provider}, it has {', '.join(available)}: install the "
            "build of ONNX Runtime that has it, such as onnxruntime-gpu, in place of onnxruntime"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[provider])
    except Exception as error:  # the runtime's exceptions share no public base class
        raise MeasureError(f"{model}: ONNX Runtime cannot load the training step: {error}") from error
    if session.get_providers()[0] != provider:
        raise MeasureError(f"{provider} could not start (are its libraries, such as CUDA or cuDNN, installed?)")
    return session


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file) as arrays:  # by itself it leaves a damaged file open
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise MeasureError(f"{path}: cannot be read: export the training step again ({error})") from error


def _check_names(path: Path, arrays: Arrays, wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise MeasureError(f"{path}: {missing[0]} is missing: export the training step again")
