"""What torch.compile makes of a step: graphs, and the places where it falls back to Python. Imports torch._dynamo.

The step runs once on this host's processor with a batch of two: what a graph holds depends on the code, not on sizes.
Graphs are captured (torch._dynamo) and run as they are: nothing is compiled, so no compiler is needed.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any

import torch
import torch._dynamo
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.utils import counters, graph_break_reasons

from sslbench.bench.build import build_step
from sslbench.bench.errors import SnapshotError
from sslbench.bench.gate.snapshot import GraphBreaks
from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.lines import readable

_BATCH = 2


def graph_breaks(recipe: Recipe) -> GraphBreaks:
    """Graphs and graph breaks of a recipe's step; of one's own step those of what it calls torch.compile on.

    Raises:
        RecipeError: the step cannot be built.
        SnapshotError: torch.compile cannot trace it at all.
    """
    batch = None if recipe.batch_size is None else min(recipe.batch_size, _BATCH)
    small = recipe.model_copy(update={"compile": True, "batch_size": batch})
    with redirect_stdout(sys.stderr), _captured():
        try:
            build_step(small, torch.device("cpu"))()
        except TorchDynamoException as error:
            raise SnapshotError(
                f"{recipe.name}: torch.compile cannot trace it: {str(error).splitlines()[0]}"
            ) from error
        graphs = int(counters["stats"]["unique_graphs"])
        reasons = sorted(f"{_place(reason)}: {reason.reason.splitlines()[0]}" for reason in graph_break_reasons)
    return GraphBreaks(graphs=graphs, breaks=len(reasons), reasons=tuple(reasons))


@contextmanager
def _captured() -> Iterator[None]:
    """While active, torch.compile captures graphs and runs them as they are; counts begin at zero."""
    compile_ = torch.compile
    torch._dynamo.reset()
    counters.clear()
    graph_break_reasons.clear()
    torch.compile = partial(compile_, backend="eager")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's capture warns of what it does itself (`.grad` of no leaf)
            yield
    finally:
        torch.compile = compile_
        torch._dynamo.reset()


def _place(reason: Any) -> str:
    """The innermost line of code that is not torch's."""
    frames = [(readable(frame.filename), frame.lineno) for frame in reason.user_stack]
    path, line = next(((path, line) for path, line in reversed(frames) if path), ("torch", 0))
    return f"{path}:{line}" if line else path
