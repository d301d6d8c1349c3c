"""Names beside the points of a picture, where they hide neither each other nor a point."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_CHARACTER, _LINE = 7.0, 14.0
"""Width and height of a character in pixels, at the 12 px that labels are set in."""
_DOT = 6.0
"""Half the side of a point's own place, in pixels."""
_SCREENS = (("wide", 700.0), ("narrow", 270.0))
"""CSS classes of the names that a wide and a narrow drawing show, and how wide these are, in pixels."""
_PLACES = (
    (-9, 4, "end"),
    (-8, 16, "end"),
    (-8, -8, "end"),
    (0, -9, "middle"),
    (0, 18, "middle"),
    (9, 4, "start"),
    (8, -8, "start"),
    (8, 16, "start"),
)
"""Where a name may begin, to the right of and below its point in pixels; the first is tried first."""
_RIGHT_FIRST = tuple(sorted(_PLACES, key=lambda place: place[2] != "start"))

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name beside its point."""

    text: str
    screen: str
    """`wide` or `narrow`: the drawings that it is for."""
    at: tuple[float, float]
    """Of the point, in percent of the drawing."""
    dx: float
    """From there, in pixels."""
    dy: float
    anchor: str


def place_labels(
    names: Sequence[str],
    points: Sequence[tuple[float, float]],
    others: Sequence[tuple[float, float]] = (),
    *,
    height: float = 300.0,
    right: bool = False,
) -> list[Label]:
    """Names beside their points, for each width; those that find no room there are left out, the first choose first.

    Args:
        names: what is written.
        points: where each stands, in percent of the drawing.
        others: points without a name, which names keep clear of where they can.
        height: of the drawing in pixels.
        right: whether they stand to the right where they can, as at the end of a line.
    """
    places = _RIGHT_FIRST if right else _PLACES
    return [
        label
        for screen, width in _SCREENS
        for label in _placed(names, points, _Drawing(screen, (width, height), others, places))
    ]


@dataclass(frozen=True, slots=True)
class _Drawing:
    screen: str
    size: tuple[float, float]
    others: Sequence[tuple[float, float]]
    places: Sequence[tuple[float, float, str]]


def _placed(names: Sequence[str], points: Sequence[tuple[float, float]], drawing: _Drawing) -> Iterator[Label]:
    size = drawing.size
    taken = [_dot(point, size) for point in points]
    faint = [_dot(point, size) for point in drawing.others]
    for name, point in zip(names, points, strict=True):
        boxes = [(Label(name, drawing.screen, point, *at), _box(name, point, at, size)) for at in drawing.places]
        free = [(label, box) for label, box in boxes if _within(box, size) and not _hit(box, taken)]
        if free:
            label, box = next((each for each in free if not _hit(each[1], faint)), free[0])
            taken.append(box)
            yield label


def _dot(point: tuple[float, float], size: tuple[float, float]) -> Box:
    x, y = (share * side / 100 for share, side in zip(point, size, strict=True))
    return x - _DOT, y - _DOT, x + _DOT, y + _DOT


def _box(name: str, point: tuple[float, float], place: tuple[float, float, str], size: tuple[float, float]) -> Box:
    x, y = (share * side / 100 + away for share, side, away in zip(point, size, place[:2], strict=True))
    width = _CHARACTER * len(name)
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[place[2]]
    return left, y + 3 - _LINE, left + width, y + 3


def _within(box: Box, size: tuple[float, float]) -> bool:
    return min(box[:2]) >= 0 and box[2] <= size[0] and box[3] <= size[1]


def _hit(box: Box, others: Sequence[Box]) -> bool:
    return any(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in others)
