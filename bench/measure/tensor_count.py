"""Bytes of live CPU tensors, from the allocator's own reports to the torch profiler."""

from collections.abc import Callable, Iterable

from torch.profiler import ProfilerActivity, profile

from sslbench.bench.measure.timing import Step

_STEPS = 2  # the second meets the gradients and the optimizer state that the first made


def peak_tensor_bytes(build: Callable[[], Step]) -> int:
    """Most bytes that tensors held at one time while the step was built and run twice.

    The step is built again under the profiler, so that every allocation is seen being made; what was allocated before
    (and only freed here) does not count. What libraries allocate past torch's allocator (oneDNN scratch, Python
    objects) is not seen.

    Args:
        build: builds model and optimizer and returns the step.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        step = build()
        for _ in range(_STEPS):
            step()
        del step
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    return highest_sum(nbytes for _, nbytes in sorted(changes, key=lambda change: change[0]))


def highest_sum(changes: Iterable[int]) -> int:
    """Largest running sum, at least 0."""
    held = peak = 0
    for change in changes:
        held += change
        peak = max(peak, held)
    return peak
