"""A page as the pieces that a reader sees or a browser acts on, each with its place in words."""

from dataclasses import dataclass
from html.parser import HTMLParser

_NEVER_CLOSED = frozenset({"meta", "link", "br", "hr", "img", "input", "col", "wbr"})
_HEADINGS = ("h1", "h2", "h3", "h4", "h5")
_WHOLE = {"style": "style", "script": "script", "application/json": "embedded data"}
"""Elements whose content is one piece."""
_NAME_LENGTH = 60
_TOP = "top of the page"


@dataclass(frozen=True, slots=True)
class Piece:
    """A text, a tag, or the content of a style or script element."""

    kind: str
    """`text`, `tag`, `end of a tag`, `comment`, `style`, `script`, `embedded data` or `data`."""
    value: str
    attributes: tuple[tuple[str, str], ...] = ()
    """Of a tag, by name."""
    place: str = ""
    """Headings, row and column above it."""

    @property
    def key(self) -> tuple[object, ...]:
        """What two pieces that show the same have in common."""
        return self.kind, self.value, self.attributes


def shortened(text: str, length: int) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def pieces_of(page: str) -> list[Piece]:
    """The pieces of a page in order, whatever was done to it; white space that a browser does not show is left out."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.pieces


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[Piece] = []
        self._open: list[str] = []
        self._headings: dict[str, str] = {}
        self._row = self._column = self._whole = ""
        self._heads: list[str] = []
        self._cell = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag in _HEADINGS:
            self._headings = {name: text for name, text in self._headings.items() if name < tag}
        if tag in (*_HEADINGS, "tr", "section", "table", "svg", "ul", "dl"):
            self._row = ""
        if tag == "table":
            self._heads = []
        if tag in (*_HEADINGS, "tr", "section"):
            self._column, self._cell = "", 0
        if tag in ("td", "th"):
            self._begin_cell()
        if tag in ("style", "script"):
            self._whole = _WHOLE.get(found.get("type", tag), "data")
        self._add("tag", tag, tuple(sorted(found.items())))
        if tag not in _NEVER_CLOSED:
            self._open.append(tag)

    def _begin_cell(self) -> None:
        if "thead" in self._open:
            self._heads.append("")
        else:
            self._column = self._heads[self._cell] if self._cell < len(self._heads) else ""
            self._cell += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        self._whole = ""
        self._add("end of a tag", tag)

    def handle_data(self, data: str) -> None:
        if self._whole:
            self._add(self._whole, data)
            return
        text = " ".join(data.split())
        if not text:
            return
        level = next((tag for tag in self._open if tag in _HEADINGS), None)
        if level is None and not self._row and any(tag in self._open for tag in ("th", "td", "dt", "li")):
            self._row = text
        if "thead" in self._open and self._heads:
            self._heads[-1] = f"{self._heads[-1]} {text}".strip()
        self._add("text", text)
        if level is not None:
            self._headings[level] = f"{self._headings.get(level, '')} {text}".strip()

    def handle_comment(self, data: str) -> None:
        self._add("comment", data)

    def handle_decl(self, decl: str) -> None:
        self._add("comment", decl)

    def handle_pi(self, data: str) -> None:
        self._add("comment", data)

    def unknown_decl(self, data: str) -> None:
        self._add("comment", data)

    def _add(self, kind: str, value: str, attributes: tuple[tuple[str, str], ...] = ()) -> None:
        headings = [text for name, text in sorted(self._headings.items()) if name != "h1"]
        parts = [*headings, self._row, self._column, "picture" if "svg" in self._open else ""]
        place = " > ".join(dict.fromkeys(shortened(part, _NAME_LENGTH) for part in parts if part))
        self.pieces.append(Piece(kind, value, attributes, place or _TOP))
