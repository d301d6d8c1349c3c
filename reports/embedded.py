"""Records as they lie in a report: compact JSON in its element `#records`, and back from the page's text.

Fields at their default are left out. What many records have in common is kept once, in a list of the same object; a
record then holds its place in that list: `{"machines": [{...}], "records": [{"machine": 0, ...}]}`.
"""

# Format history. sslbench.report/1 (0.1.0): first version.

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from sslbench.bench.errors import RecordError
from sslbench.bench.record import SCHEMA as RECORD_SCHEMA
from sslbench.bench.record import Record, parse_record

SCHEMA: Final = "sslbench.report/1"
SHARED: Final = {
    "machines": ("machine",),
    "environments": ("environment",),
    "recipes": ("recipe",),
    "commands": ("command",),
    "timelines": ("explain", "timeline"),
    "peaks": ("explain", "alive_at_peak"),
    "works": ("work",),
    "breakdowns": ("memory", "breakdown"),
    "budgets": ("bill", "budget"),
    "sources": ("bill", "source"),
    "counters": ("energy", "source"),
    "gaps": ("unknown",),
}
"""Lists of what is kept once, and the path in a record that holds a place in them."""

_ELEMENT = re.compile(r'<script type="application/json" id="records">(.*?)</script>', re.DOTALL)


def embed(records: Sequence[Record]) -> dict[str, Any]:
    """Records as a JSON object; `extract` reads them back equal."""
    shared: dict[str, dict[str, int]] = {name: {} for name in SHARED}
    tables = [record.model_dump(mode="json", exclude_defaults=True) for record in records]
    for table in tables:
        for name, path in SHARED.items():
            holder = _holder(table, path)
            if isinstance(holder, dict) and path[-1] in holder:
                text = json.dumps(holder[path[-1]])
                holder[path[-1]] = shared[name].setdefault(text, len(shared[name]))
    kept = {name: [json.loads(text) for text in texts] for name, texts in shared.items() if texts}
    return {"schema": SCHEMA, **kept, "records": tables}


def extract(page: str, *, where: str = "report") -> list[Record]:
    """The records of a report, from its HTML.

    Args:
        page: the whole text of the file.
        where: what error messages call it.

    Raises:
        RecordError: the page holds no records, or they are damaged or of a newer version.
    """
    found = _ELEMENT.findall(page)
    if len(found) != 1:
        raise RecordError(
            f"{where}: is no report of sslbench: it has {len(found) or 'no'} elements #records, expected 1"
        )
    try:
        whole = json.loads(found[0])
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{where}: the records in it are not JSON, so the file was damaged or edited: {error}"
        ) from error
    schema = whole.get("schema") if isinstance(whole, dict) else None
    if schema != SCHEMA:
        raise RecordError(f"{where}: the records in it are of schema {schema!r}, this sslbench reads {SCHEMA!r}")
    tables = whole.get("records")
    if not isinstance(tables, list):
        raise RecordError(f"{where}: the element #records has no list `records`, so the file was damaged or edited")
    return [_record(table, whole, f"{where} record {number}") for number, table in enumerate(tables, 1)]


def _record(table: Any, whole: dict[str, Any], where: str) -> Record:
    for name, path in SHARED.items():
        holder = _holder(table, path)
        if isinstance(holder, dict) and path[-1] in holder:
            holder[path[-1]] = _kept(whole.get(name), holder[path[-1]], f"{where}: {'.'.join(path)}")
    # The schema is a default, and so not written.
    return parse_record({"schema": RECORD_SCHEMA, **table} if isinstance(table, dict) else table, where=where)


def _kept(values: Any, place: Any, where: str) -> Any:
    if type(place) is int and isinstance(values, list) and 0 <= place < len(values):
        return values[place]
    raise RecordError(
        f"{where} holds {place!r}, which is no place in the report's lists: the file was damaged or edited"
    )


def _holder(table: Any, path: Sequence[str]) -> Any:
    """The table that holds the last key of a path; None where there is none."""
    for key in path[:-1]:
        table = table.get(key) if isinstance(table, dict) else None
    return table
