"""Work that waits in between: a generator that yields while its worker waits for a turn, and returns its result.

What it was doing is undone when the generator is closed, so that one thread can carry several measurements.
"""

from collections.abc import Callable, Generator
from functools import wraps
from typing import ParamSpec, TypeAlias, TypeVar

from sslbench.bench.measure.events import TurnEvent

_P = ParamSpec("_P")
_T = TypeVar("_T")

Turns: TypeAlias = Generator[TurnEvent, bool, _T]
"""Yields what a waiting worker says, is sent whether it has a turn, returns the result."""


def at_once(work: Callable[_P, Turns[_T]]) -> Callable[_P, _T]:
    """The same work for a worker that takes no turns, as a plain function."""

    @wraps(work)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            next(work(*args, **kwargs))
        except StopIteration as end:
            result: _T = end.value
            return result
        raise AssertionError("a worker waits for a turn that nobody gives")

    return run
