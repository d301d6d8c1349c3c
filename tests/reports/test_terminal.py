import io

import pytest
from rich.console import Console

from sslbench.reports.measured_text import print_measurements
from sslbench.reports.terminal import print_predictions
from sslbench.reports.words import plain


def shown(printer, records, *, width=80, terminal=False, encoding="utf-8"):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    printer(
        records,
        Console(file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None),
    )
    file.flush()
    return raw.getvalue().decode(encoding)


def same_recipe(samples):
    return [record.model_copy(update={"recipe": samples[0].recipe}) for record in samples]


def test_one_prediction_is_told_in_full(sample):
    text = shown(print_predictions, [sample("prediction-fits")])
    assert "\nfits: 13.8 of 24.0 GiB, 90 % interval 13.2 to 14.4, P(fits) > 99 %\n" in text
    assert "activation       9.90 GiB   72 %  ██████████████████████████████" in text
    assert "step time                186 ms, 90 % interval 149 to 242 ms" in text
    assert "largest batch that fits  58" in text


def test_a_prediction_that_does_not_fit_says_that_its_time_is_hypothetical(sample):
    text = shown(print_predictions, [sample("prediction-does-not-fit")])
    assert "\ndoes not fit: 33.4 of 24.0 GiB" in text
    assert "610 ms if it fit" in text


def test_several_machines_are_one_table(samples):
    text = shown(print_predictions, same_recipe(samples))
    assert text.count("machine ") == 1
    for figure in ("13.8/24.0 GiB", "23.0/24.0 GiB", "33.4/24.0 GiB", "does not fit", "> 99 %", "186 ms"):
        assert figure in text
    assert "…" not in text
    assert "warning: Memory at the peak" in text


def test_measurements_say_what_is_not_known(samples):
    text = shown(print_measurements, samples)
    assert "246 ms, median of 30 steps, middle half" in text
    assert "not known, no energy counter on this machine" in text


def test_one_measurement_is_told_in_full(sweep, on_cards):
    text = shown(print_measurements, sweep[:1])
    assert "246 ms ± 0.6 %, median of 40 steps after 6 of warm-up, MAD 2.95 ms" in text
    assert "32.5 sequences/s, 4,161 tokens/s" in text
    assert "45.5 GFLOP/s, MFU 35 % of 131 GFLOP/s (measured peak)" in text
    assert "backward    135 ms   55 %  ████████████████████████  534 MiB" in text
    assert "predicted   step time 276 ms, 12 % high; memory required 835 MiB, 3 % low" in text
    cards = shown(print_measurements, [on_cards])
    assert "2 devices, ddp over nccl; efficiency 95 %; one device takes 39.1 ms" in cards
    assert "rank 1, cuda:1  40.9 ms  13.0 GiB" in cards


def test_a_sweep_is_one_table(sweep):
    text = shown(print_measurements, sweep)
    assert "batch prec.           step pred. sequences/s    memory pred.  MFU" in text
    assert "   16 bf16  269 ms ± 0.6 % +12 %        59.5 1,014 MiB  -3 % 64 %" in text
    assert "  128 fp32   out of memory" in text
    flat = " ".join(text.split())
    assert "batch 128, fp32: out of memory in warm-up after 0 steps; predicted: does not fit" in flat


def test_a_table_that_is_too_wide_loses_what_matters_least(sweep):
    for width, predictions in ((60, 2), (55, 1), (50, 0)):
        lines = shown(print_measurements, sweep, width=width).splitlines()
        header = next(line for line in lines if line.startswith("batch prec."))
        assert "MFU" not in header
        assert header.count("pred.") == predictions
        assert all(len(line.rstrip()) <= width for line in lines)


def test_a_failure_is_told_with_its_cause(sweep):
    text = shown(print_measurements, sweep[-1:])
    assert "did not run  out of memory in warm-up after 0 steps" in text
    assert "lower --batch-size" in text
    assert "step time" not in text


@pytest.mark.parametrize("printer", [print_predictions, print_measurements])
def test_a_pipe_gets_no_colour_and_at_most_80_columns(printer, samples, sweep, on_cards):
    for records in (samples, same_recipe(samples), samples[2:3], sweep, [on_cards], [*sweep, on_cards]):
        text = shown(printer, records)
        assert "\x1b" not in text
        assert all(len(line.rstrip()) <= 80 for line in text.splitlines())


def test_a_terminal_gets_colour(sample):
    assert "\x1b[" in shown(print_predictions, [sample("prediction-fits")], terminal=True)


def test_an_ascii_terminal_gets_ascii_bars(sample):
    assert "####" in shown(print_predictions, [sample("prediction-fits")], encoding="ascii")


def test_hostile_texts_steer_no_terminal(hostile):
    text, records = hostile
    for printed in (shown(print_predictions, records[1:2]), shown(print_predictions, same_recipe(records))):
        assert "\x1b" not in printed
        assert "\u202e" not in printed
        assert plain(text, 100)[:20] in printed
    assert "\x1b" not in shown(print_measurements, records)
