"""Results kept for an object as it stands: equal objects are not looked for, so nothing large is hashed or compared."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Itself:
    """Equals only what wraps the very same object, and keeps it alive."""

    __slots__ = ("it",)

    def __init__(self, it: object) -> None:
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.it is other.it


def kept_for_itself(count: int) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Keep a function's last results by the identity of its first argument and the values of the others."""

    def keep(function: Callable[..., Result]) -> Callable[..., Result]:
        kept: Any = lru_cache(maxsize=count)(lambda first, *rest: function(first.it, *rest))

        @wraps(function)
        def call(first: object, *rest: object) -> Result:
            result: Result = kept(_Itself(first), *rest)
            return result

        return call

    return keep
