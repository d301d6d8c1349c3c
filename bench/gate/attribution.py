"""Where a change comes from: two versions' source lines set against each other, so that the parts add up to the whole.

Lines move when code is edited. A line is known again by its module, its operator and what it says; failing that, as an
edited line, by its module, its operator and its file; failing that, as a moved one, by its operator and what it says.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from sslbench.bench.comparison import Cause
from sslbench.bench.gate.snapshot import KEPT, Called, Site

SHOWN = 6
"""Causes of a metric that are told one by one; the others are one row."""
_LONGEST = 70
"""Characters of a source line that are quoted."""
_LISTED = 3
"""Operators that are named for each thing that happened at a line."""
_TOLD = 2
"""Things that happened at a line that are told, those with the largest changes."""
_ROLES = ("parameter", "gradient", "optimizer state", "buffer", "input")
"""Categories that say more of a storage than the operator that made it."""
_LIVES = {"backward": "lives into backward", "optimizer": "lives through backward", KEPT: "outlives the step"}


@dataclass
class _Group:
    """What one line contributes to a metric through one operator, in one module."""

    module: str
    label: str
    """The role of its storages, or the operator."""
    operator: str
    text: str
    path: str
    value: int = 0
    count: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """Storages by the later phase that frees them, at the peak or not; empty for calls."""
    lasting: Counter[str] = field(default_factory=Counter)
    """Bytes at the peak by the later phase that frees them; "": that of their birth."""
    numbers: Counter[int] = field(default_factory=Counter)
    """Contribution by number of the line."""

    @property
    def line(self) -> int | None:
        """Number of the line that contributes most."""
        number = min(self.numbers, key=lambda number: (-self.numbers[number], number), default=0)
        return number or None


_Groups = dict[tuple[str, str, str], _Group]
_Pair = tuple[_Group | None, _Group | None]
_LEVELS: tuple[Callable[[_Group], tuple[str, ...]], ...] = (
    lambda group: (group.module, group.label, group.text or group.path),
    lambda group: (group.module, group.label, group.path),
    lambda group: (group.label, group.text or group.path),
)


def memory_causes(base: Iterable[Site], new: Iterable[Site]) -> tuple[Cause, ...]:
    """Why the peak of tensors changed, largest change first; the changes add up to that of the peak, in bytes."""
    return _causes(_pairs(_stored(base), _stored(new)), _memory_words)


def work_causes(base: Iterable[Site], new: Iterable[Site], amount: Callable[[Called], int]) -> tuple[Cause, ...]:
    """Why a sum over all calls changed, largest change first; the changes add up to that of the sum.

    Args:
        base: lines of the old side.
        new: lines of the new side.
        amount: what a row of calls adds to the sum.
    """
    return _causes(_pairs(_called(base, amount), _called(new, amount)), _work_words)


# ---------------------------------------------------------------------- grouping
def _stored(sites: Iterable[Site]) -> Iterable[_Group]:
    groups: _Groups = {}
    for site in sites:
        for row in site.storages:
            by_operator = row.operator if row.born == "forward" else f"{row.operator} in {row.born}"
            group = _group(groups, site, row.category if row.category in _ROLES else by_operator, row.operator)
            end = "" if row.dies == row.born else row.dies
            group.ends[end] += row.count
            group.lasting[end] += row.peak_bytes
            _add(group, site, row.peak_bytes, row.peak_count)
    return groups.values()


def _called(sites: Iterable[Site], amount: Callable[[Called], int]) -> Iterable[_Group]:
    groups: _Groups = {}
    for site in sites:
        for row in site.calls:
            group = _group(groups, site, f"{row.operator} in {row.phase}", row.operator)
            _add(group, site, amount(row), row.count)
    return groups.values()


def _group(groups: _Groups, site: Site, label: str, operator: str) -> _Group:
    path = site.line.rpartition(":")[0]
    key = (site.module, label, site.text or path)
    return groups.setdefault(key, _Group(site.module, label, operator, site.text, path))


def _add(group: _Group, site: Site, value: int, count: int) -> None:
    group.value += value
    group.count += count
    group.numbers[int(site.line.rpartition(":")[2] or 0)] += value


def _pairs(base: Iterable[_Group], new: Iterable[_Group]) -> Iterator[_Pair]:
    """Groups of both sides that are the same line, by one level after the other; what is left has no counterpart."""
    old, now = list(base), list(new)
    for level in _LEVELS:
        waiting: dict[tuple[str, ...], list[_Group]] = defaultdict(list)
        for group in reversed(old):
            waiting[level(group)].append(group)
        unpaired = []
        for group in now:
            if same := waiting[level(group)]:
                yield same.pop(), group
            else:
                unpaired.append(group)
        old, now = list(chain.from_iterable(waiting.values())), unpaired
    yield from ((group, None) for group in old)
    yield from ((None, group) for group in now)


# ---------------------------------------------------------------------- words
def _causes(pairs: Iterable[_Pair], words: Callable[[_Pair], str]) -> tuple[Cause, ...]:
    """One cause for each line of a module, however many operators of it changed."""
    lines: dict[tuple[str, str, int | None], list[_Pair]] = defaultdict(list)
    for pair in pairs:
        if _change(pair):
            here = _here(pair)
            lines[here.module, here.path, here.line].append(pair)
    found = [_cause(changed, words) for changed in lines.values()]
    found.sort(key=lambda cause: (-abs(cause.change), cause.file, cause.line or 0, cause.text))
    shown = [cause for cause in found if cause.change]
    rest = shown[SHOWN:]
    if len(rest) > 1:
        other = Cause(text=f"in {len(rest)} other places", change=sum(cause.change for cause in rest))
        return (*shown[:SHOWN], other)
    return tuple(shown)


def _here(pair: _Pair) -> _Group:
    """The new side; of what is gone the old one."""
    here = pair[1] or pair[0]
    assert here is not None  # noqa: S101 - one side is there
    return here


def _change(pair: _Pair) -> int:
    base, new = pair
    return (new.value if new else 0) - (base.value if base else 0)


def _cause(pairs: list[_Pair], words: Callable[[_Pair], str]) -> Cause:
    change = sum(map(_change, pairs))
    # What the line's change consists of comes before what goes the other way.
    pairs.sort(key=lambda pair: (-_change(pair) if change > 0 else _change(pair), _here(pair).label))
    here = _here(pairs[0])
    said: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        said[words(pair)].append(_here(pair).label.removeprefix("aten.").replace(".default", ""))
    place = f"{_quoted(here.text)} at {here.path}:{here.line}" if here.path else "what has no line"
    happened = ", ".join(f"{what} ({_listed(labels)})" for what, labels in list(said.items())[:_TOLD])
    module = f", in {here.module}" if here.module else ""
    before = sorted({base.text for base, new in pairs if base and new and base.text != new.text})
    return Cause(
        text=f"{place} {happened}{module}{f'; before: {_quoted(before[0])}' if before else ''}",
        change=change,
        file=here.path,
        line=here.line,
        module=here.module,
        operator=here.operator,
    )


def _listed(labels: Sequence[str]) -> str:
    more = len(labels) - _LISTED
    return ", ".join(labels[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _quoted(text: str) -> str:
    return f"`{text if len(text) <= _LONGEST else text[: _LONGEST - 4] + ' ...'}`" if text else "code"


def _memory_words(pair: _Pair) -> str:
    base, new = pair
    if new is None:
        return "is gone"
    if base is None:
        return f"is new and {_LIVES[_end(new)]}" if _end(new) in _LIVES else "is new"
    end = _end(new)
    if new.value > base.value and end in _LIVES and new.ends[end] > base.ends[end] and _older(base, new):
        return f"now {_LIVES[end]}"
    if not new.value:
        return "is no longer alive at the peak"
    if not base.value:
        return "is now alive at the peak"
    return _grown(base, new, "holds", "tensors")


def _end(group: _Group) -> str:
    """The later phase that frees most of what it holds at the peak; "": that of its birth."""
    return max(sorted(group.lasting), key=group.lasting.__getitem__, default="")


def _older(base: _Group, new: _Group) -> bool:
    """Whether as many storages were made before: they live longer, and are no new ones."""
    return base.ends.total() >= new.ends.total()


def _work_words(pair: _Pair) -> str:
    base, new = pair
    if new is None:
        return "is gone"
    return "is new" if base is None else _grown(base, new, "makes", "calls")


def _grown(base: _Group, new: _Group, verb: str, things: str) -> str:
    if base.count != new.count:
        return f"{verb} {new.count} {things}, before {base.count}"
    return f"is {new.value / base.value:.3g} times as large" if base.value else "is larger"
