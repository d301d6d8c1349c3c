"""Texts and tables of GitHub Flavored Markdown (https://github.github.com/gfm/)."""

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"([\\`*_\[\]<>#|~!$@&])")


def escape(text: str) -> str:
    """Text that Markdown shows as it stands: no emphasis, link, HTML, mention, formula or end of a cell.

    A backslash before ASCII punctuation makes it literal (CommonMark 2.4). `://` and `www.` are broken up so that a
    name links nowhere.
    """
    escaped = _MARKUP.sub(r"\\\1", text)
    return re.sub(r"www\.", r"www\\.", escaped.replace("://", r"\:\/\/"), flags=re.IGNORECASE)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = (header, ["---"] * len(header), *rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def folded(summary: str, body: str) -> str:
    """A part that is opened by a click on its summary.

    Args:
        summary: words of our own, no name: it stands in HTML, where nothing of Markdown is escaped.
        body: Markdown.
    """
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"
