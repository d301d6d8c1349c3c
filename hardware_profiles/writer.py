"""A machine as TOML that people read and edit: one figure, and one timed size, a line."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sslbench.hardware_profiles.schema import Machine

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dump_machine(machine: Machine) -> str:
    """The text of a profile, which `loader.load_profile` reads back as the same machine."""
    table = machine.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return "\n".join(_table({"schema": machine.schema_, **table}, ())) + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Lines of a table: what takes a line each, then the tables in it."""
    later: list[tuple[str, Any]] = []
    for key, value in table.items():
        if _is_table(value) or _is_tables(value):
            later.append((key, value))
        else:
            yield f"{_key(key)} = {_rows(value)}"
    for key, value in later:
        name = ".".join(map(_key, (*path, key)))
        for part in value if _is_tables(value) else [value]:
            yield from ("", f"[[{name}]]" if _is_tables(value) else f"[{name}]")
            yield from _table(part, (*path, key))


def _is_table(value: Any) -> bool:
    """A figure (`value`, `basis`, `source`) goes into one line; what holds figures does not, nor what is no figure."""
    return isinstance(value, dict) and ("value" not in value or any(isinstance(part, dict) for part in value.values()))


def _is_tables(value: Any) -> bool:
    """A list of tables that hold lists of tables themselves."""
    return isinstance(value, list) and any(isinstance(part, dict) and any(map(_holds, part.values())) for part in value)


def _holds(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(part, dict) for part in value)


def _rows(value: Any) -> str:
    """A value; a list of tables with one of them a line."""
    if not _holds(value):
        return _inline(value)
    return "[\n" + "".join(f"    {_inline(part)},\n" for part in value) + "]"


def _inline(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{_key(key)} = {_inline(part)}" for key, part in value.items()) + " }"
        case list():
            return f"[{', '.join(map(_inline, value))}]"
        case str():
            return _text(value)
        case _:  # numbers and truth values: JSON's are TOML's
            return json.dumps(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """A basic string. TOML escapes as JSON does, but for DEL, which it does not take as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
