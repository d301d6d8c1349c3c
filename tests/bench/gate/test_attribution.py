"""The parts of a change add up to it, whatever was edited."""

from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.gate.attribution import SHOWN, memory_causes, work_causes
from sslbench.bench.gate.snapshot import Called, Site, Stored

PHASES = ("forward", "backward", "optimizer")
stored = st.builds(
    Stored,
    category=st.sampled_from(["parameter", "gradient", "activation", "temporary"]),
    operator=st.sampled_from(["aten.mm.default", "aten.exp.default"]),
    born=st.sampled_from(PHASES),
    dies=st.sampled_from([*PHASES, "kept"]),
    count=st.integers(1, 5),
    bytes=st.integers(0, 1000),
    peak_count=st.integers(0, 5),
    peak_bytes=st.integers(0, 1000),
)
called = st.builds(
    Called,
    operator=st.sampled_from(["aten.mm.default", "aten.exp.default"]),
    phase=st.sampled_from(PHASES),
    count=st.integers(1, 5),
    launches=st.integers(0, 5),
    flops=st.integers(0, 1000),
    bytes_moved=st.integers(0, 1000),
)
site = st.builds(
    Site,
    module=st.sampled_from(["", "Net.a", "Net.b.*"]),
    line=st.one_of(st.just(""), st.builds("{}:{}".format, st.sampled_from(["a.py", "b/c.py"]), st.integers(1, 9))),
    text=st.sampled_from(["", "x = y", "y = f(x)", "return x"]),
    storages=st.lists(stored, max_size=3).map(tuple),
    calls=st.lists(called, max_size=3).map(tuple),
)
sites = st.lists(site, max_size=8)


def peak_bytes(found):
    return sum(row.peak_bytes for site in found for row in site.storages)


def flops(found):
    return sum(row.flops for site in found for row in site.calls)


@given(sites, sites)
def test_causes_add_up_to_the_change(base, new):
    assert sum(cause.change for cause in memory_causes(base, new)) == peak_bytes(new) - peak_bytes(base)
    work = work_causes(base, new, lambda row: row.flops)
    assert sum(cause.change for cause in work) == flops(new) - flops(base)


@given(sites, st.randoms())
def test_the_order_of_lines_and_their_numbers_change_nothing(base, random):
    moved = [one.model_copy(update={"line": one.line and f"{one.line}0"}) for one in base]
    random.shuffle(moved)
    assert memory_causes(base, moved) == ()
    assert work_causes(base, moved, lambda row: row.flops) == ()


def line(number, text, **changes):
    row = {"category": "activation", "operator": "aten.exp.default", "born": "forward", "dies": "forward"}
    row |= {"count": 1, "bytes": 100, "peak_count": 1, "peak_bytes": 100} | changes
    return Site(module="Net.head", line=f"net.py:{number}", text=text, storages=(Stored(**row),))


def words(base, new):
    (cause,) = memory_causes(base, new)
    return cause.change, cause.text


def test_what_lives_longer_says_so():
    short = line(7, "y = x.exp()", peak_count=0, peak_bytes=0)
    assert words([short], [line(9, "y = x.exp()", dies="backward")]) == (
        100,
        "`y = x.exp()` at net.py:9 now lives into backward (exp), in Net.head",
    )
    assert words([short], [line(9, "y = x.exp()", dies="kept")])[1].endswith("now outlives the step (exp), in Net.head")
    assert words([line(9, "y = x.exp()", dies="backward")], [short])[1].endswith(
        "is no longer alive at the peak (exp), in Net.head"
    )


def test_what_is_new_gone_or_more_says_so():
    one = line(7, "y = x.exp()", dies="backward")
    assert words([], [one])[1] == "`y = x.exp()` at net.py:7 is new and lives into backward (exp), in Net.head"
    assert words([one], []) == (-100, "`y = x.exp()` at net.py:7 is gone (exp), in Net.head")
    two = line(7, "y = x.exp()", dies="backward", count=2, peak_count=2, peak_bytes=200)
    assert words([one], [two])[1] == "`y = x.exp()` at net.py:7 holds 2 tensors, before 1 (exp), in Net.head"
    large = line(7, "y = x.exp()", dies="backward", peak_bytes=250)
    assert words([one], [large])[1] == "`y = x.exp()` at net.py:7 is 2.5 times as large (exp), in Net.head"


def test_an_edited_line_is_known_again_by_its_place():
    change, text = words([line(7, "y = x.exp()")], [line(8, "y = x.double().exp()", peak_bytes=200)])
    assert change == 100
    assert text.endswith("is 2 times as large (exp), in Net.head; before: `y = x.exp()`")


def test_what_happens_at_one_line_is_one_cause():
    row = line(7, "y = f(x)").storages[0]
    rows = [row.model_copy(update={"operator": f"aten.{name}.default"}) for name in ("exp", "log", "sin", "cos")]
    several = line(7, "y = f(x)").model_copy(update={"storages": tuple(rows)})
    change, text = words([several.model_copy(update={"storages": (rows[0],)})], [several])
    assert (change, text) == (300, "`y = f(x)` at net.py:7 is new (cos, log, sin), in Net.head")
    assert "is new (cos, exp, log and 1 more)" in words([], [several])[1]


def test_many_small_causes_are_one_row():
    new = [line(number, f"y{number} = x.exp()", peak_bytes=number) for number in range(1, 40)]
    causes = memory_causes([], new)
    assert len(causes) == SHOWN + 1
    assert causes[0].change == 39
    assert causes[-1].text == f"in {39 - SHOWN} other places"
