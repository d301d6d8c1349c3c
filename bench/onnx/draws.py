"""Every random operator of a step, computed from draws that can be kept, given again, or made by the graph.

Three kinds of draws make all of them: uniform in [0, 1), normal, and nothing else. A step that is run twice on the same
draws has the same dropout, masks and noise, whichever runtime computes it. Imports torch.

Known differences from torch's own generators: a whole number is floor(u * n), so that of more than 2**24 numbers not
all are drawn; a permutation is the order of n uniform draws.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.homes import Homes

aten = torch.ops.aten
UNIFORM, NORMAL = "uniform", "normal"
_SMALLEST = 2.0**-25
"""Below half of the smallest uniform draw above 0: stands for 0 where a logarithm follows."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One tensor of random numbers."""

    kind: str
    """`UNIFORM` or `NORMAL`."""
    values: torch.Tensor


class Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own is untyped
    """Inside, random operators take `given` draws in their order, or fresh ones, which are kept in `used`.

    Raises:
        MeasureError: a random operator is none of those that can be made from draws; names it and its module.
    """

    def __init__(self, homes: Homes, given: list[Draw] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.used: list[Draw] = []
        self._given = given
        self._homes = homes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace a random operator; any other is run as it is."""
        self._homes.note(func)
        replacement = _REPLACEMENTS.get(func)
        if replacement is not None:
            return replacement(self, *args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise MeasureError(f"{func} of {self._homes.of(str(func))} draws random numbers in a way unknown here")
        return func(*args, **(kwargs or {}))

    def uniform(self, shape: Any) -> torch.Tensor:
        """The next uniform draw; the caller may write into it."""
        return self._next(UNIFORM, tuple(shape), torch.rand)

    def normal(self, shape: Any) -> torch.Tensor:
        """The next normal draw; the caller may write into it."""
        return self._next(NORMAL, tuple(shape), torch.randn)

    def _next(self, kind: str, shape: tuple[int, ...], make: Callable[..., torch.Tensor]) -> torch.Tensor:
        if self._given is None:
            draw = Draw(kind, make(shape, dtype=torch.float32))
        else:
            draw = self._given[len(self.used)] if len(self.used) < len(self._given) else Draw("no", torch.empty(0))
            if (draw.kind, tuple(draw.values.shape)) != (kind, shape):
                raise MeasureError(f"the step draws other random numbers in each step (now {kind} of shape {shape})")
        self.used.append(draw)
        return draw.values.clone()


def _kind(like: torch.Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return like.dtype if dtype is None else dtype


def _rand(draws: Draws, size: Any, *, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
    return draws.uniform(size).to(dtype or torch.get_default_dtype())


def _rand_like(draws: Draws, like: torch.Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
    return draws.uniform(like.shape).to(_kind(like, dtype))


def _randn(draws: Draws, size: Any, *, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
    return draws.normal(size).to(dtype or torch.get_default_dtype())


def _randn_like(draws: Draws, like: torch.Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
    return draws.normal(like.shape).to(_kind(like, dtype))


def _whole(draws: Draws, low: int, high: int, shape: Any, dtype: torch.dtype | None) -> torch.Tensor:
    # The product may round up to the number of choices, which is not one of them.
    scaled = (draws.uniform(shape) * (high - low)).floor().clamp(max=high - low - 1)
    return scaled.to(dtype or torch.int64) + low


def _randint(draws: Draws, high: int, size: Any, *, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
    return _whole(draws, 0, high, size, dtype)


def _randint_low(
    draws: Draws, low: int, high: int, size: Any, *, dtype: torch.dtype | None = None, **_: Any
) -> torch.Tensor:
    return _whole(draws, low, high, size, dtype)


def _randint_like(
    draws: Draws, like: torch.Tensor, high: int, *, dtype: torch.dtype | None = None, **_: Any
) -> torch.Tensor:
    return _whole(draws, 0, high, like.shape, _kind(like, dtype))


def _randperm(draws: Draws, count: int, *, dtype: torch.dtype | None = None, **_: Any) -> torch.Tensor:
    return draws.uniform((count,)).argsort().to(dtype or torch.int64)


def _bernoulli_(draws: Draws, out: torch.Tensor, p: float = 0.5, **_: Any) -> torch.Tensor:
    return out.copy_((draws.uniform(out.shape) < p).to(out.dtype))


def _bernoulli(draws: Draws, chance: torch.Tensor, **_: Any) -> torch.Tensor:
    return (draws.uniform(chance.shape) < chance).to(chance.dtype)


def _uniform_(draws: Draws, out: torch.Tensor, low: float = 0.0, high: float = 1.0, **_: Any) -> torch.Tensor:
    return out.copy_(draws.uniform(out.shape) * (high - low) + low)


def _normal_(draws: Draws, out: torch.Tensor, mean: float = 0.0, std: float = 1.0, **_: Any) -> torch.Tensor:
    return out.copy_(draws.normal(out.shape) * std + mean)


def _exponential_(draws: Draws, out: torch.Tensor, rate: float = 1.0, **_: Any) -> torch.Tensor:
    return out.copy_(-draws.uniform(out.shape).clamp(min=_SMALLEST).log() / rate)


_REPLACEMENTS: dict[Any, Callable[..., Any]] = {
    aten.rand.default: _rand,
    aten.rand_like.default: _rand_like,
    aten.randn.default: _randn,
    aten.randn_like.default: _randn_like,
    aten.randint.default: _randint,
    aten.randint.low: _randint_low,
    aten.randint_like.default: _randint_like,
    aten.randperm.default: _randperm,
    aten.bernoulli_.float: _bernoulli_,
    aten.bernoulli.default: _bernoulli,
    aten.uniform_.default: _uniform_,
    aten.normal_.default: _normal_,
    aten.exponential_.default: _exponential_,
}
