import re

from sslbench.reports.gfm import escape
from sslbench.reports.markdown import render_markdown
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
    assert "| step time | 236 ms | 189 to 307 ms | 246 ms | 4 % low | yes |" in text
    assert "sslbench profile bert-mini-mlm" in text
    assert {cells(line) for line in rows(text)} == {10, 8, 6}
    older = [record for record in samples if record.predicted is None]
    assert {cells(line) for line in rows(render_markdown(older))} == {10, 8, 7}  # no column for what none has


def test_a_sweep_shows_what_each_measurement_has(sweep, on_cards):
    text = render_markdown([*sweep, on_cards])
    assert "| 246 ms ± 0.6 % | median of 40 steps after 6 of warm-up, MAD 2.95 ms |" in text
    assert "| 32.5 sequences/s, 4,161 tokens/s | 45.5 GFLOP/s, MFU 35 % of 131 GFLOP/s (measured peak) |" in text
    assert "**out of memory in warm-up after 0 steps**; predicted: does not fit: 9.40 of 7.10 GiB" in text
    assert "2 devices, ddp over nccl; efficiency 95 %; one device takes 39.1 ms" in text
    assert "### Phases of a step" in text
    assert "| forward | backward | optimizer | other |" in text
    assert "| 76.3 ms, 31 % (474 MiB) | 135 ms, 55 % (534 MiB) |" in text
    assert text.count("| memory required | ") == 5  # every measurement that carries a prediction
    assert "not known" not in text.split("128, 128 tokens")[1].split("\n")[0]


def test_hostile_texts_stay_in_their_cell(hostile, samples):
    text, records = hostile
    rendered = render_markdown(records, title=text)
    assert escape(plain(text, 100)) in rendered
    prose = rendered.split("\n### How to reproduce")[0]
    tables = re.findall(r"(?:^\|.*\n)+", prose + "\n", re.MULTILINE)
    assert len(tables) > 5
    assert all(len({cells(line) for line in rows(table)}) == 1 for table in tables)
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
