"""Measures one step on several backends at the same time: their workers are alive together and take turns.

What slows the machine down for a while (a neighbour, heat, a clock) then meets all of them alike, which it does not
where one backend is measured after the other. Only one worker computes at any time; the others wait for a line on their
standard input. Each measures its memory when it has no turns any more, while the others wait or are gone.

Imports no torch.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial

from sslbench.bench.errors import SSLBenchError
from sslbench.bench.measure.configured import Settings, measure_configuration, measuring_configuration
from sslbench.bench.measure.events import TurnEvent
from sslbench.bench.measure.manager import Progress
from sslbench.bench.measure.plan import Configuration
from sslbench.bench.measured import TakingTurns
from sslbench.bench.record import Record

Switch = Callable[[int], None]
"""Told the number of the configuration that runs now."""
Enough = Callable[[Sequence[Sequence[float]]], bool]
"""Given the medians (seconds) of the turns of each configuration, in the order of the group, after every round: whether
that is enough."""
_SHORT_OF_MEMORY = ("out-of-memory", "killed")
_ALONE = "measured alone: beside {others} it ran out of memory, so that a drift of the machine may be in what differs"


class _Run:
    """One of the measurements."""

    def __init__(self, number: int, one: Configuration, settings: Settings, progress: Progress) -> None:
        self.number = number
        self.backend = one.backend
        self.alone = partial(measure_configuration, one, settings, progress)
        self.work = measuring_configuration(one, settings, progress, in_turns=True)
        self.waits: TurnEvent | None = None
        """What its worker says while it waits; None: it has ended."""
        self.steps: list[int] = []
        self.medians: list[float] = []
        """Of each turn, in seconds."""
        self.result: Record | SSLBenchError | None = None

    def begin(self) -> None:
        """Export, build and warm up."""
        self._resume(lambda: next(self.work))

    def answer(self, *, runs: bool) -> None:
        """Give it a turn, or let it measure its memory and end."""
        self._resume(lambda: self.work.send(runs))
        if runs and self.waits is not None:
            self.steps.append(self.waits.steps)
            self.medians.append(self.waits.median or 0.0)

    def wants_turns(self, *, until_precise: bool) -> bool:
        """Whether it has had too few yet."""
        if self.waits is None or (self.waits.spent and self.steps):
            return False
        return not (until_precise and self.waits.enough)

    def _resume(self, go_on: Callable[[], TurnEvent]) -> None:
        self.waits = None
        try:
            self.waits = go_on()
        except StopIteration as end:
            self.result = end.value
        except SSLBenchError as error:
            self.result = error


def measure_interleaved(
    group: Sequence[tuple[int, Configuration]],
    settings: Settings,
    progress: Progress,
    switch: Switch,
    enough: Enough | None = None,
) -> Iterator[tuple[int, Record | SSLBenchError]]:
    """Measure configurations that differ in their backend.

    Args:
        group: number and configuration.
        settings: what they share.
        progress: told how far the one that runs is.
        switch: told which one runs.
        enough: says after each round whether to end, instead of each configuration's own precision.

    Yields:
        Number and record, or why that backend cannot be measured here at all; in the order of the group.
    """
    with ExitStack() as stack:
        runs = [_Run(number, one, settings, progress) for number, one in group]
        for run in runs:
            stack.enter_context(closing(run.work))
        for run in runs:
            switch(run.number)
            run.begin()
        _take_turns(runs, switch, enough)
        for run in reversed(runs):  # the memory of a GPU may be known only as what its total grew by
            if run.waits is not None:
                switch(run.number)
                run.answer(runs=False)
    ran = [run for run in runs if run.steps and isinstance(run.result, Record) and run.result.failure is None]
    name = secrets.token_hex(8)
    for run in runs:
        yield run.number, _finished(run, ran, name)


def _take_turns(runs: Sequence[_Run], switch: Switch, enough: Enough | None) -> None:
    """Rounds, every second one backwards, until each knows its step well enough or has no time left."""
    order = list(runs)
    while any(run.wants_turns(until_precise=enough is None) for run in order):
        for run in order:
            if run.waits is not None and not (run.waits.spent and run.steps):
                switch(run.number)
                run.answer(runs=True)
        order.reverse()
        if enough is not None and enough([run.medians for run in runs]):
            break


def _finished(run: _Run, ran: Sequence[_Run], name: str) -> Record | SSLBenchError:
    """The record with the turns that it took; one that found no room beside the others is measured alone."""
    record = run.result
    assert record is not None  # noqa: S101 - whoever waits has been answered
    if isinstance(record, SSLBenchError):
        return record
    others = [other.backend for other in ran if other is not run]
    if record.failure is not None and record.failure.kind in _SHORT_OF_MEMORY and others:
        return _alone(run, others)
    if run not in ran or not others:
        return record
    backends = [other.backend for other in ran]
    return record.model_copy(update={"turns": TakingTurns(run=name, backends=backends, steps=run.steps)})


def _alone(run: _Run, others: Sequence[str]) -> Record | SSLBenchError:
    try:
        record = run.alone()
    except SSLBenchError as error:
        return error
    return record.model_copy(update={"warnings": [*record.warnings, _ALONE.format(others=" and ".join(others))]})
