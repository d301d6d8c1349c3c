"""Weights that a step reads from files, without reading their data; and files that it would write, not written."""

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any
from unittest import mock

import safetensors.torch
import torch
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from sslbench.bench.trace.recorder import Recorder
from sslbench.bench.trace.tensor import Block, TracedTensor, spec_of


@contextmanager
def checkpoints() -> Iterator[None]:
    """While active, `torch.load` maps files instead of reading them; `torch.save` and safetensors write nothing."""
    with (
        mock.patch.object(torch, "load", _loading(torch.load)),
        mock.patch.object(torch, "save", _unsaved),
        mock.patch.object(safetensors.torch, "save_file", _unsaved),
        mock.patch.object(safetensors.torch, "save_model", _unsaved),
        mock.patch.dict(os.environ, {"HF_DEACTIVATE_ASYNC_LOAD": "1"}),  # transformers: threads do not see the trace
    ):
        yield


def _unsaved(*args: Any, **kwargs: Any) -> None:
    """A file without data would replace one that has some."""


def _loading(load: Callable[..., Any]) -> Callable[..., Any]:
    def mapped(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        places: set[str] = set()

        def note(storage: Any, place: str) -> Any:
            places.add(place)
            return storage

        if isinstance(f, str | PathLike) and zipfile.is_zipfile(f):
            kwargs["mmap"] = True
        with _disable_current_modes():
            content = load(f, note, *args, **kwargs)
        if isinstance(map_location, str | torch.device | int):
            on_gpu = torch.device(map_location).type == "cuda"
        else:  # a function or a table usually sends it to the host; without one it goes where it was saved
            on_gpu = map_location is None and any(place.startswith("cuda") for place in places)
        place = _placing(on_gpu)
        return tree_map(lambda leaf: _placed(leaf, place), content)

    return mapped


def _placed(leaf: Any, place: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(leaf, torch.nn.Module):
        return leaf._apply(place)  # type: ignore[no-untyped-call]  # torch's own
    return place(leaf) if isinstance(leaf, torch.Tensor) else leaf


def _placing(on_gpu: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    recorder = TracedTensor.recorder
    if not isinstance(recorder, Recorder):
        return lambda tensor: tensor
    if recorder.target == "cuda":
        return (lambda tensor: tensor.to("cuda")) if on_gpu else (lambda tensor: tensor)
    blocks: dict[int, Block] = {}
    return lambda tensor: adopted(tensor, recorder, blocks)


def adopted(tensor: torch.Tensor, recorder: Recorder, blocks: dict[int, Block]) -> torch.Tensor:
    """A traced tensor in place of a real one of the host; `blocks`, by storage, keeps what shares memory sharing."""
    storage = tensor.untyped_storage()
    spec = spec_of(tensor)
    block = blocks.get(storage._cdata)
    if block is not None:
        made = recorder.tensor(spec, block)
    else:
        made = recorder.new_tensor(spec, storage.nbytes(), "torch.load")
        blocks[storage._cdata] = made._block
    made.requires_grad_(tensor.requires_grad)
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(made, requires_grad=tensor.requires_grad)
    return made
