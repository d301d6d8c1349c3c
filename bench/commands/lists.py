"""Options that take several values, as in `--batch-size 8,16,auto`."""

import re
from typing import Any

import click

_COMMA = re.compile(r"(?<!\\),")


def split_list(text: str) -> list[str]:
    r"""The values between commas; `\,` is a comma within a value. `join_value` is the way back."""
    return [part.strip().replace("\\,", ",") for part in _COMMA.split(text)]


def join_value(value: object) -> str:
    """A single value as a list of one is written."""
    return str(value).replace(",", "\\,")


class CommaList(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on, and 8.2 will do
    """Values of another type with commas between them, as a tuple.

    Args:
        one: type of each value.
        words: texts that stand for themselves beside that type, such as `auto`.
    """

    name = "list"

    def __init__(self, one: Any, words: tuple[str, ...] = ()) -> None:
        self._one = click.types.convert_type(one)
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """The values, each checked; a usage error names the first that is wrong."""
        if isinstance(value, tuple):
            return value
        parts = split_list(value)
        if "" in parts:
            self.fail(f"a value is missing in {value!r}", param, ctx)
        return tuple(part if part in self._words else self._one.convert(part, param, ctx) for part in parts)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """As that of a single value: the help says once that lists are taken."""
        metavar: str | None = self._one.get_metavar(param, ctx)
        return metavar
