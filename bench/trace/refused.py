"""What a trace refuses as soon as it is asked for: it would end the process, start others, or be silently wrong."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch.nn.parallel import DistributedDataParallel

from sslbench.bench.errors import TraceError

ONE_PROCESS = "a trace is of one process: leave out torch.distributed and its wrappers (DDP, FSDP)"
_GRAPHS = (
    "CUDA graphs are not traced: leave the capture out; a captured step takes at least the same memory, and keeps it"
)
_EXPORT = "torch.export runs the model on tensors of its own, which a trace does not see: call the model itself"
NO_GPU = "the step asks for a GPU, and the target is a CPU: use the device that the factory is given"
ONE_GPU = "a trace is of one GPU, cuda:0: put the whole step on the device that the factory is given"


def refuses(words: str) -> Any:
    """A function that raises the words."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise TraceError(words)

    return refuse


def _refused(target: str) -> Iterator[tuple[Any, str, str]]:
    yield torch.multiprocessing, "spawn", ONE_PROCESS
    yield torch.multiprocessing, "start_processes", ONE_PROCESS
    yield DistributedDataParallel, "__init__", ONE_PROCESS
    yield torch.export, "export", _EXPORT
    if torch.distributed.is_available():
        yield torch.distributed, "init_process_group", ONE_PROCESS
    if target == "cuda":
        # They stay classes: code that is imported meanwhile names them in annotations.
        yield torch.cuda.CUDAGraph, "__new__", _GRAPHS
        yield torch.cuda.graph, "__init__", _GRAPHS
        yield torch.cuda, "make_graphed_callables", _GRAPHS
    else:
        yield torch.cuda, "_lazy_init", NO_GPU


@contextmanager
def refused(target: str) -> Iterator[None]:
    """While active, these raise a TraceError that says what to write instead."""
    with ExitStack() as stack:
        for owner, name, words in _refused(target):
            stack.enter_context(mock.patch.object(owner, name, refuses(words)))
        yield
