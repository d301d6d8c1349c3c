"""Whether a report shows what its own records say: it is rendered again from them, and the two pages are compared.

A page that this very version wrote is the same, character by character: then style and script are sslbench's, too, and
nothing can look other than it is. Where it is not, the places that differ are named. A page of another version has
other words and another style; of it every text that has a figure must be found again.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest

from sslbench.bench.verification import Check, Difference
from sslbench.reports.pieces import Piece, pieces_of, shortened

_GENERATOR = re.compile(r'<meta name="generator" content="sslbench ([^"\s]{1,40})">')
_DIGIT = re.compile(r"\d")
_MOST_SHOWN = 300
"""Characters of a text that a difference shows."""


def version_of(page: str) -> str:
    """The sslbench that wrote a page; empty where it does not say."""
    found = _GENERATOR.search(page)
    return found[1] if found else ""


def check_page(page: str, again: str) -> Check:
    """Compare a page with the one that its records give here.

    Args:
        page: the text of the file.
        again: the page that is rendered from what is embedded in it.
    """
    if _lines(page) == _lines(again):
        return _check("holds", "every character is what its records give, style and script included")
    theirs, ours = version_of(page), version_of(again)
    if theirs != ours:
        return _of_another_version(page, again, f"sslbench {theirs or 'of an unknown version'}, here is {ours}")
    differences = tuple(differences_of(pieces_of(page), pieces_of(again)))
    if not differences:
        words = "it says what its records say; only the spacing of its markup was changed"
        return _check("not checked", f"{words}, so it is not the file that sslbench wrote")
    places = f"{len(differences):,} place{'s' if len(differences) > 1 else ''}"
    return _check("differs", f"in {places} it says something else than its records", differences)


def _check(outcome: str, summary: str, differences: Sequence[Difference] = (), reasons: Sequence[str] = ()) -> Check:
    return Check.model_validate(
        {"subject": "page", "name": "page", "outcome": outcome, "summary": summary}
        | {"differences": tuple(differences), "reasons": tuple(reasons)}
    )


def _lines(page: str) -> str:
    """Without what mail programs and version control change: a byte order mark, the ends of lines."""
    return page.removeprefix("\ufeff").replace("\r\n", "\n").strip()


def _of_another_version(page: str, again: str, versions: str) -> Check:
    """Every text of the page that has a figure must be on the other one, as often."""
    left = Counter(piece.value for piece in pieces_of(again) if piece.kind == "text")
    missing = []
    for piece in pieces_of(page):
        if piece.kind != "text" or not _DIGIT.search(piece.value):
            continue
        if left[piece.value]:
            left[piece.value] -= 1
        else:
            missing.append(Difference(place=piece.place, says=shortened(piece.value, _MOST_SHOWN), expected=""))
    reason = (f"written by {versions}: its words may differ, and its style and script are not compared",)
    if not missing:
        return _check("not checked", "every text with a figure is what its records give", reasons=reason)
    words = f"{len(missing):,} text{'s' if len(missing) > 1 else ''} with figures are not what its records give here"
    return _check("differs", words, missing, reason)


def differences_of(page: Sequence[Piece], again: Sequence[Piece]) -> Iterator[Difference]:
    """Where the pieces of two pages differ, each with its place."""
    before = _common(page, again)
    page, again = page[before:], again[before:]
    after = _common(page[::-1], again[::-1])
    page, again = page[: len(page) - after], again[: len(again) - after]
    for stated, expected in _pairs(page, again):
        yield from _difference(stated, expected)


def _common(first: Sequence[Piece], second: Sequence[Piece]) -> int:
    """How many pieces both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((number for number, (one, other) in pairs if one.key != other.key), min(len(first), len(second)))


def _pairs(page: Sequence[Piece], again: Sequence[Piece]) -> Iterator[tuple[Piece | None, Piece | None]]:
    """Pieces that stand for each other and differ; None: there is none."""
    if len(page) == len(again):
        yield from ((one, other) for one, other in zip(page, again, strict=True) if one.key != other.key)
        return
    # Tags that are everywhere say nothing about where one is: `autojunk` leaves them out, and is fast.
    matcher = SequenceMatcher(None, [piece.key for piece in page], [piece.key for piece in again])
    for kind, first, first_end, second, second_end in matcher.get_opcodes():
        if kind != "equal":
            yield from zip_longest(page[first:first_end], again[second:second_end])


def _difference(stated: Piece | None, expected: Piece | None) -> Iterator[Difference]:
    if stated and expected and stated.kind == expected.kind == "tag" and stated.value == expected.value:
        theirs, ours = dict(stated.attributes), dict(expected.attributes)
        for name in sorted(theirs.keys() | ours.keys()):
            if theirs.get(name) != ours.get(name):
                place = f"{expected.place}: {name} of <{expected.value}>"
                yield Difference(
                    place=place,
                    says=shortened(theirs.get(name, ""), _MOST_SHOWN),
                    expected=shortened(ours.get(name, ""), _MOST_SHOWN),
                )
        return
    piece = expected or stated
    assert piece is not None  # noqa: S101 - of two pieces that differ one is there
    yield Difference(place=piece.place, says=_words(stated), expected=_words(expected))


def _words(piece: Piece | None) -> str:
    if piece is None:
        return ""
    if piece.kind == "text":
        return shortened(piece.value, _MOST_SHOWN)
    if piece.kind == "tag":
        return f"<{piece.value}>"
    if piece.kind == "end of a tag":
        return f"</{piece.value}>"
    return f"a {piece.kind} of {len(piece.value):,} characters"
