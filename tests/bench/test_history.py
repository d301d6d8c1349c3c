import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sslbench.bench.history import Change, History, StepHistory, Trend

METRICS = ("time.step_seconds", "memory.required_bytes")


def history(columns, changes=()):
    """One step with a trend for each column of values."""
    count = len(columns[0])
    trends = tuple(
        Trend(
            metric=metric,
            unit="seconds",
            values=tuple(values),
            changes=tuple(Change(at=at, share=0.1, before=1.0, after=1.1) for at in changes),
        )
        for metric, values in zip(METRICS, columns, strict=False)
    )
    step = StepHistory(
        name="s",
        where="w",
        records=count,
        numbers=tuple(range(count)),
        created=tuple(f"2026-01-01T00:{at:05d}" for at in range(count)),
        commits=tuple(str(at) for at in range(count)),
        trends=trends,
    )
    return History(source="folder", steps=(step,))


values = st.lists(st.one_of(st.none(), st.floats(0.01, 10)), min_size=130, max_size=400).filter(any)


@given(values, st.integers(60, 100), st.data())
def test_thinning_keeps_ends_extremes_and_both_sides_of_a_change(column, most, data):
    known = [number for number, value in enumerate(column) if value is not None]
    at = data.draw(st.sampled_from(known))
    whole = history([column], [at])
    (step,) = whole.thinned(most).steps
    (trend,) = step.trends
    kept = dict(zip(step.numbers, trend.values, strict=True))
    assert len(kept) <= most + 5
    assert all(
        kept[number] == column[number] and step.commits[place] == str(number) for place, number in enumerate(kept)
    )
    assert {0, len(column) - 1, at, max((number for number in known if number < at), default=at)} <= kept.keys()
    for pick in (min, max):
        assert pick(column[number] for number in known) == pick(value for value in kept.values() if value is not None)
    assert (step.records, whole.thinned(most).thinned(most)) == (len(column), whole.thinned(most))


def test_a_short_history_is_kept_whole_and_read_back():
    whole = history([[1.0, None, 2.0], [5.0, 5.0, 5.0]])
    assert whole.thinned(60) == whole
    assert History.model_validate_json(whole.model_dump_json()) == whole


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"commits": ("a",)}, "not equally long"),
        ({"numbers": (0, 2, 1)}, "do not rise"),
        ({"trends": [{"metric": "m", "unit": "bytes", "values": [None, None, None]}]}, "has no value"),
        ({"records": 2}, "do not rise"),
        ({"trends": [{"metric": "m", "unit": "bytes", "values": [1, 2, 3], "changes": [
            {"at": 7, "share": 1, "before": 1, "after": 2}]}]}, "does not keep"),
    ],
)  # fmt: skip
def test_a_damaged_history_is_refused(update, words):
    (step,) = history([[1.0, 2.0, 3.0]]).steps
    with pytest.raises(ValidationError, match=words):
        StepHistory.model_validate(step.model_dump() | update)
