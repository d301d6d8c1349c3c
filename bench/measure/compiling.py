"""What is said where torch.compile cannot compile a step. Part of the worker."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sslbench.bench.errors import MeasureError
from sslbench.bench.recipe import Recipe


@contextmanager
def compiling(recipe: Recipe) -> Iterator[None]:
    """Failures of the compiler inside become one line; failures of the step itself stay what they are.

    Raises:
        MeasureError: torch.compile could not compile the step: says why, and what to do.
    """
    try:
        yield
    except Exception as error:
        if recipe.factory or not recipe.compile or not _of_compiler(error):
            raise
        reason = " ".join(str(error).split())[:300]
        raise MeasureError(
            f"--compile: torch.compile failed here ({reason}): it needs a Python that it supports, and a C++ compiler "
            "for processors or Triton for GPUs; or leave out --compile"
        ) from error


def _of_compiler(error: BaseException) -> bool:
    """Whether an exception is one of torch's compilers, and not one of the step that it runs."""
    if "torch.compile is not supported" in str(error):
        return True
    dynamo = sys.modules.get("torch._dynamo.exc")
    return dynamo is not None and isinstance(error, dynamo.TorchDynamoException)
