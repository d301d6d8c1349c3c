"""Trace one step: build it on tensors without data, run it twice, and keep what happened.

Known limitations: results that depend on data (how many tokens are masked, which expert is chosen) are answered with a
plausible value; kernels that are not ATen operators are seen only if they have a meta kernel.
"""

import gc
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from sslbench.bench.errors import TraceError
from sslbench.bench.trace.answers import ANSWERS
from sslbench.bench.trace.cpu_kernels import CpuKernels
from sslbench.bench.trace.cuda_kernels import CudaKernels
from sslbench.bench.trace.events import BACKWARD, FORWARD, Storage, Target, Trace
from sslbench.bench.trace.explained import explained
from sslbench.bench.trace.imports import eager_only
from sslbench.bench.trace.pretend import cpu_host, cuda_host
from sslbench.bench.trace.recorder import Recorder
from sslbench.bench.trace.tensor import TracedTensor
from sslbench.bench.trace.tracker import Tracker

Step = Callable[[], object]
DEFAULT_CAPABILITY = (8, 0)


def trace_step(
    build: Callable[..., Step],
    device: Target = "cuda",
    *,
    capability: tuple[int, int] = DEFAULT_CAPABILITY,
    **parameters: Any,
) -> Trace:
    """Trace the step that `build` makes, without the device and without its memory.

    Args:
        build: called as `build(device, **parameters)`; returns the step, a function without arguments.
        device: the target whose behaviour is traced.
        capability: compute capability of the CUDA target, on which the attention kernel depends.
        **parameters: passed to `build`, such as `batch_size`.

    Raises:
        TraceError: the step cannot run on tensors without data; names the line that failed.
    """
    recorder = Recorder(device, CudaKernels(capability) if device == "cuda" else CpuKernels(), ANSWERS)
    tracker = Tracker(recorder)
    marks: list[int] = []
    with _recording(recorder, tracker, capability), explained(recorder):
        step = build(recorder.device, **parameters)
        if not callable(step):
            raise TraceError(
                f"the factory returned {type(step).__name__}, expected the step: a function without arguments"
            )
        tracker.built()
        for number in range(2):
            gc.collect()  # reference cycles, at a time of our own: else it depends on the host and the batch
            marks.append(len(recorder.events))
            if number == 1:
                recorder.calls.clear()
            recorder.started = True
            recorder.update_phase()
            result = step()
            del result
            tracker.gradients()
        marks.append(len(recorder.events))
        trace = _finish(recorder, tracker, tuple(marks), parameters.get("batch_size"))
    del step
    return trace


@contextmanager
def _recording(recorder: Recorder, tracker: Tracker, capability: tuple[int, int]) -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()  # what exists already is not looked at again: that makes the collections fast
    try:
        with ExitStack() as stack:
            stack.enter_context(eager_only())
            stack.enter_context(cuda_host(capability) if recorder.target == "cuda" else cpu_host())
            stack.enter_context(tracker.watch())
            stack.enter_context(recorder)
            TracedTensor.recorder = recorder
            yield
    finally:
        TracedTensor.recorder = None
        gc.unfreeze()
        if collecting:
            gc.enable()


def _finish(recorder: Recorder, tracker: Tracker, marks: tuple[int, ...], batch_size: int | None) -> Trace:
    deaths = {~event: position for position, event in enumerate(recorder.events) if event < 0}
    births = {event: position for position, event in enumerate(recorder.events) if event >= 0}
    backwards = [position for position, phase in recorder.phase_marks if phase == BACKWARD]

    def backward_after(index: int) -> int | None:
        following = bisect_right(backwards, births[index])
        return backwards[following] if following < len(backwards) else None

    storages = tuple(
        Storage(
            size=size,
            category=tracker.category(
                index, phase, deaths.get(index), backward_after(index) if phase == FORWARD else None
            ),
            phase=phase,
            module=tracker.homes.get(index, module),
            operator=operator,
            line=line,
        )
        for index, (size, phase, module, operator, line) in enumerate(recorder.births)
    )
    # Kinds met only while building are left out; the others keep their order.
    used = sorted({call.kind for call in recorder.calls})
    position = {kind: index for index, kind in enumerate(used)}
    kinds = list(recorder.kinds)
    return Trace(
        target=recorder.target,
        batch_size=batch_size,
        storages=storages,
        events=tuple(recorder.events),
        marks=marks,
        phase_marks=tuple(recorder.phase_marks),
        kinds=tuple(kinds[kind] for kind in used),
        calls=tuple(replace(call, kind=position[call.kind]) for call in recorder.calls),
        modules=tuple(tracker.modules),
        parameters=tracker.parameter_elements,
        tf32_matmul=recorder.tf32[0],
        tf32_convolution=recorder.tf32[1],
        lines=tuple(recorder.source.lines),
    )
