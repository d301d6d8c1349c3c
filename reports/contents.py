"""What a report is made from, out of files of records and comparisons or out of a report itself."""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from sslbench.bench.comparison import SCHEMA as COMPARISON_SCHEMA
from sslbench.bench.comparison import Comparison
from sslbench.bench.errors import RecordError
from sslbench.bench.history import SCHEMA as HISTORY_SCHEMA
from sslbench.bench.history import History
from sslbench.bench.quantities import Part
from sslbench.bench.recipe import first_problem
from sslbench.bench.record import Record, load_records
from sslbench.reports.embedded import extract
from sslbench.reports.html import render_html

_TITLE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_EMBEDDED = '<script type="application/json" id="{}">(.*?)</script>'
_Kind = TypeVar("_Kind", bound=Part)


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a page shows follows from this."""

    records: tuple[Record, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    histories: tuple[History, ...] = ()
    title: str | None = None
    """Of a page: its author's own words, or what was made of the records."""


def load_contents(path: Path) -> Contents:
    """What a file holds: records, comparisons, histories, or a report with any of them.

    Raises:
        RecordError: it cannot be read, or holds none of these; names file and place.
    """
    text = read_text(path)
    if is_page(text):
        return read_page(text, where=str(path))
    if _begins_with(text, COMPARISON_SCHEMA):
        return Contents(comparisons=_parsed(Comparison, "comparison", text, where=str(path)))
    if _begins_with(text, HISTORY_SCHEMA):
        return Contents(histories=_parsed(History, "history", text, where=str(path)))
    return Contents(records=tuple(load_records(path)))


def _begins_with(text: str, schema: str) -> bool:
    """Whether a file is of that schema, of any version."""
    return f'"{schema.partition("/")[0]}/' in text[:200]


def together(parts: Iterable[Contents]) -> Contents:
    """Several files as one."""
    every = list(parts)
    return Contents(
        records=tuple(record for part in every for record in part.records),
        comparisons=tuple(comparison for part in every for comparison in part.comparisons),
        histories=tuple(history for part in every for history in part.histories),
    )


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        RecordError: it cannot be read, or is no text.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: is not UTF-8 text") from error


def is_page(text: str) -> bool:
    """Whether a file's text is HTML rather than JSON."""
    return text.lstrip()[:1] == "<"


def read_page(page: str, *, where: str) -> Contents:
    """What a report was made from.

    Raises:
        RecordError: it is no report, or what it holds is damaged; the message begins with `where`.
    """
    records = tuple(extract(page, where=where))
    title = _TITLE.search(page)
    return Contents(
        records=records,
        comparisons=_embedded(Comparison, "comparison", page, where=where),
        histories=_embedded(History, "history", page, where=where),
        title=html.unescape(_TAG.sub("", title[1])).strip() or None if title else None,
    )


def _embedded(kind: type[_Kind], noun: str, page: str, *, where: str) -> tuple[_Kind, ...]:
    plural = f"{noun}s".replace("ys", "ies")
    found = re.search(_EMBEDDED.format(plural), page, re.DOTALL)
    return _parsed(kind, noun, found[1], where=where) if found else ()


def _parsed(kind: type[_Kind], noun: str, text: str, *, where: str) -> tuple[_Kind, ...]:
    try:
        table: Any = json.loads(text)
        return tuple(kind.model_validate(each) for each in (table if isinstance(table, list) else [table]))
    except ValidationError as error:
        raise RecordError(f"{where}: a {noun} in it: {first_problem(error)}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: the {noun} in it is not JSON: {error}") from error


def render_page(contents: Contents) -> str:
    """The report of these contents as HTML."""
    return render_html(
        contents.records, comparisons=contents.comparisons, histories=contents.histories, title=contents.title
    )
