"""Where the phases of a step begin and end, seen from outside: torch's own functions leave marks while watched.

Backward is autograd's engine at work, whoever starts it (`Tensor.backward`, `torch.autograd.backward` or `grad`, so a
factory's step as well as the catalog's). The update is an optimizer's `step`, and what leads from backward to it:
clipping, unscaling. The wait for a batch of real input is the data phase. Of what remains, all up to the last backward
is forward; what follows the last backward or update (an EMA, zeroed gradients) is other.

Known limitations: what torch does not run through Python leaves no mark (a step replayed as one CUDA graph); optimizers
that are not `torch.optim.Optimizer` count as other; gradients that are zeroed before the forward pass count as forward.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from sslbench.bench.measure.timing import Step
from sslbench.bench.measured import PhaseName
from sslbench.kernels.data.loader import Batches

Moment = TypeVar("Moment")


class Border(NamedTuple):
    """A phase begins or ends."""

    phase: PhaseName
    begins: bool


START, END = Border("forward", True), Border("forward", False)
_BACKWARD, _BACKWARD_END = Border("backward", True), Border("backward", False)
_UPDATE, _UPDATE_END = Border("optimizer", True), Border("optimizer", False)
_DATA, _DATA_END = Border("data", True), Border("data", False)


class Stretch(NamedTuple, Generic[Moment]):
    """A part of a step that belongs to one phase."""

    phase: PhaseName
    start: Moment
    end: Moment


class Marks(Generic[Moment]):
    """Keeps a moment at each border of the steps that it runs; a `timing.Stopwatch`.

    Args:
        now: what is kept: a time, an event on a device, the memory since the last border.
    """

    def __init__(self, now: Callable[[], Moment]) -> None:
        self._now = now
        self._marks: list[tuple[Border, Moment]] = []
        self.steps: list[list[Stretch[Moment]]] = []
        """The stretches of every step, in order; each begins where the one before ends."""

    def time(self, step: Step) -> None:
        """Run the step once and remember its stretches."""
        self._marks = []
        with self._watching():
            self._mark(START)
            step()
            self._mark(END)
        self.steps.append(stretches(self._marks))

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """While active, torch and the loader's batches leave marks."""
        run_backward = torch.autograd._engine_run_backward  # type: ignore[attr-defined]  # torch's own name for it
        engine = self._between(run_backward, _BACKWARD, _BACKWARD_END)
        batch = self._between(Batches.__next__, _DATA, _DATA_END)
        with ExitStack() as stack:
            # One place for all that is public: each of them looks the engine up there.
            stack.enter_context(_replaced(torch.autograd, "_engine_run_backward", engine))
            stack.enter_context(_replaced(Batches, "__next__", batch))
            for handle in (
                register_optimizer_step_pre_hook(lambda *_: self._mark(_UPDATE)),
                register_optimizer_step_post_hook(lambda *_: self._mark(_UPDATE_END)),
            ):
                stack.callback(handle.remove)
            yield

    def _mark(self, border: Border) -> None:
        self._marks.append((border, self._now()))

    def _between(self, function: Callable[..., Any], begin: Border, end: Border) -> Callable[..., Any]:
        @wraps(function)
        def marked(*arguments: Any, **keywords: Any) -> Any:
            self._mark(begin)
            try:
                return function(*arguments, **keywords)
            finally:
                self._mark(end)

        return marked


@contextmanager
def _replaced(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, before)


def stretches(marks: Sequence[tuple[Border, Moment]]) -> list[Stretch[Moment]]:
    """The phases between the marks of one step.

    A phase within another is taken out of it: an optimizer that runs backward itself (LBFGS), a backward that updates
    parameters on its way.

    Args:
        marks: from `START` to `END`.
    """
    running: list[PhaseName] = []
    worked = False
    found = []
    for (border, start), (following, end) in pairwise(marks):
        if border.begins:
            running.append(border.phase)
        else:
            running.pop()
            worked |= border.phase in ("backward", "optimizer")
        phase = running[-1] if len(running) > 1 else _outside(border, following, worked=worked)
        found.append(Stretch(phase, start, end))
    return found


def _outside(border: Border, following: Border, *, worked: bool) -> PhaseName:
    """Phase of what runs outside of backward, update and loading."""
    if following == END and worked:
        return "other"
    if following == _UPDATE and border in (_BACKWARD_END, _UPDATE_END):
        return "optimizer"
    return "forward"
