"""What a report was made from, read back from its page, and the page that it gives again."""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from sslbench.bench.errors import RecordError
from sslbench.bench.record import Record
from sslbench.reports.embedded import extract
from sslbench.reports.html import render_html

_TITLE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a page shows follows from this."""

    title: str | None
    """The author's own words, or else made from the records."""
    records: tuple[Record, ...]


def read_text(path: Path) -> str:
    """The text of a file that may be a report.

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


def read_contents(page: str, *, where: str) -> Contents:
    """What a page was made from.

    Raises:
        RecordError: it is no report, or its records are damaged; the message begins with `where`.
    """
    found = _TITLE.search(page)
    title = html.unescape(_TAG.sub("", found[1])).strip() if found else None
    return Contents(title=title or None, records=tuple(extract(page, where=where)))


def render_contents(contents: Contents) -> str:
    """The page that these contents give."""
    return render_html(contents.records, title=contents.title)
