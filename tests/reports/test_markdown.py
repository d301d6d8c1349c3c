import re

from sslbench.reports.gfm import escape
from sslbench.reports.markdown import render_markdown
from sslbench.reports.report_view import build_report
from sslbench.reports.words import plain

FOLDED = {"<details>", "</details>", "<summary>", "</summary>"}


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
    figures = text.split("<details>")[0]
    assert {cells(line) for line in rows(figures)} == {10, 8, 6}
    older = [record for record in samples if record.predicted is None]
    figures = render_markdown(older).split("<details>")[0]
    assert {cells(line) for line in rows(figures)} == {10, 8, 7}  # no column for what none has


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
    prose = re.sub(r"^(`{3,}).*?^\1$", "", rendered, flags=re.DOTALL | re.MULTILINE)
    tables = re.findall(r"(?:^\|.*\n)+", prose + "\n", re.MULTILINE)
    assert len(tables) > 5
    assert all(len({cells(line) for line in rows(table)}) == 1 for table in tables)
    assert set(re.findall(r"(?<!\\)<[^>]*>", prose)) == {"<br>", *FOLDED}
    assert not re.search(r"(?<!\\)\]\(", prose)
    assert "\u202e" not in rendered
    assert "\x1b" not in rendered


def test_markup_is_escaped():
    assert escape("a|b *c* <d> [e](f) @g `h` \\") == r"a\|b \*c\* \<d\> \[e\](f) \@g \`h\` " + "\\\\"
    assert escape("http://x.example www.x.example") == r"http\:\/\/x.example www\.x.example"


def test_a_fence_cannot_be_closed_by_a_command(sample):
    record = sample("prediction-fits").model_copy(update={"command": ["fit", "````\nx"]})
    assert "\n`````sh\n" in render_markdown([record])


def test_what_the_page_says_besides_figures_is_there_too(samples, sweep, on_cards, explained):
    records = [*samples, *sweep, on_cards, explained(samples[1])]
    text = re.sub(r"\\(?=[^a-zA-Z0-9\s])", "", render_markdown(records))
    report = build_report(records)
    said = [value for machine in report.machines for row in machine.figures for value in row]
    said += [value for rows in report.environments for row in rows for value in row]
    said += [value for note in report.unknown for value in note] + [value for note in report.warnings for value in note]
    said += [command for _, command in report.commands] + list(report.accuracy.summary)
    said += [segment.size for view in report.predictions if view.bar for segment in view.bar.segments]
    said += [value for view in report.measurements for row in (*view.memory_rows, *view.state) for value in row]
    said += [view.model for view in report.measurements] + [view.page_faults for view in report.measurements]
    missing = [value for value in said if value not in text]
    assert missing == []


def test_the_best_machine_is_marked_and_advice_is_given(samples, sample):
    assert "<br>**fastest**" in render_markdown([sample("prediction-fits"), other(sample("prediction-fits"))])
    alone = sample("prediction-does-not-fit")
    advice = build_report([alone]).hero.advice
    assert advice
    assert escape(advice) in render_markdown([alone])


def other(record):
    machine = record.machine.model_copy(update={"name": "slower", "title": "Slower"})
    time = record.time.model_copy(update={"step_seconds": 2 * record.time.step_seconds, "samples_per_second": None})
    return record.model_copy(update={"machine": machine, "time": time})
