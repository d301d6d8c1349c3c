"""Who allocated what on a CUDA GPU, as torch writes it for https://docs.pytorch.org/memory_viz. Part of the worker."""

from pathlib import Path

import torch

from sslbench.bench.files import whole_file
from sslbench.bench.measure.timing import Step


def write_snapshot(step: Step, path: Path) -> None:
    """Run the step once more with the CUDA allocator's history kept, and write that to a file, whole or not at all.

    What was allocated before is in it without the stack that made it.

    Args:
        step: is run once.
        path: a pickle, as torch.cuda.memory._dump_snapshot writes it.

    Raises:
        OutputError: the file cannot be written.
    """
    # Stacks of C++ would take minutes to be named, and tell nothing of the step.
    torch.cuda.memory._record_memory_history(stacks="python")
    try:
        step()
        with whole_file(path) as temporary:
            torch.cuda.memory._dump_snapshot(str(temporary))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)
