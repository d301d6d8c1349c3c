import pytest

from sslbench.bench.comparison import Comparison, StepChange
from sslbench.bench.errors import RecordError
from sslbench.bench.record import dump_records
from sslbench.reports.contents import Contents, load_contents, render_page, together

COMPARISON = Comparison(base="a", new="b", steps=(StepChange(name="s", where="cpu", layer="exact"),))


def test_records_comparisons_and_pages_are_told_apart(tmp_path, samples):
    (tmp_path / "records.json").write_text(dump_records(samples), encoding="utf-8")
    (tmp_path / "comparison.json").write_text(COMPARISON.model_dump_json(), encoding="utf-8")
    page = render_page(Contents(records=tuple(samples), comparisons=(COMPARISON,), title="Both"))
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    records, comparison, both = (
        load_contents(tmp_path / name) for name in ("records.json", "comparison.json", "page.html")
    )
    assert records == Contents(records=tuple(samples))
    assert comparison == Contents(comparisons=(COMPARISON,))
    assert both == Contents(records=tuple(samples), comparisons=(COMPARISON,), title="Both")
    assert together([records, comparison]) == Contents(records=tuple(samples), comparisons=(COMPARISON,))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<p>hello", "is no report of sslbench"),
        ('{"schema": "sslbench.comparison/1"}', "base is missing"),
        ('{"schema": "sslbench.comparison/1"', "is not JSON"),
        ("[]", "holds no record"),
        ("\udcff", "is not UTF-8 text"),
    ],
)
def test_what_is_none_of_them_says_so(tmp_path, text, problem):
    path = tmp_path / "file"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RecordError, match=problem) as error:
        load_contents(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
