import re

from sslbench.reports.markdown import escape, render_markdown
from sslbench.reports.words import plain


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def cells(line):
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_tables_hold_the_figures(samples):
    text = render_markdown(samples)
    assert "### Predicted: 2 fit, 1 is tight, 1 does not fit" in text
    assert "| ✓ **fits** | \\> 99 % | 13.8 of 24.0 GiB | 13.2 to 14.4 GiB | 186 ms | 149 to 242 ms |" in text
    assert "### Measured" in text
    assert "| step time | 236 ms | 189 to 307 ms | 246 ms | 4 % less | yes |" in text
    assert "sslbench profile bert-mini-mlm" in text
    assert {cells(line) for line in rows(text)} == {10, 8, 7}


def test_hostile_texts_stay_in_their_cell(hostile, samples):
    text, records = hostile
    rendered = render_markdown(records, title=text)
    assert escape(plain(text, 100)) in rendered
    prose = rendered.split("\n### How to reproduce")[0]
    assert {cells(line) for line in rows(prose)} == {10, 8, 7}
    assert set(re.findall(r"(?<!\\)<[^>]*>", prose)) == {"<br>"}
    assert not re.search(r"(?<!\\)\]\(", prose)
    assert "\u202e" not in rendered
    assert "\x1b" not in rendered


def test_markup_is_escaped():
    assert escape("a|b *c* <d> [e](f) @g `h` \\") == r"a\|b \*c\* \<d\> \[e\](f) \@g \`h\` " + "\\\\"
    assert escape("http://x.example www.x.example") == r"http\:\/\/x.example www\.x.example"


def test_a_fence_cannot_be_closed_by_a_command(sample):
    record = sample("prediction-fits").model_copy(update={"command": ["fit", "````\nx"]})
    assert "\n`````sh\n" in render_markdown([record])
