"""Measured here, predicted there: laws of the update, and what it does to published times of one step on two cards.

The steps of `bench/published/timm.py` that timm published for an RTX 3090 and an RTX 4090, both with torch 2.4.
"""

from dataclasses import replace
from math import exp, hypot, log
from statistics import mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.time import Sigmas, predict_time
from sslbench.bench.predict.transfer import REPEATED_SIGMA, Mix, Observation, covariance, mix_of, observe, sharpen
from sslbench.bench.published.timm import timm_steps
from sslbench.bench.trace.events import BACKWARD, FORWARD, Call, OperatorKind, Trace

CARDS = ("rtx-3090", "rtx-4090")
A100, CPU = find_machine("a100-80gb"), find_machine("laptop-16gb")


# ---------------------------------------------------------------------- published times
@pytest.fixture(scope="module")
def transferred():
    """(predicted over published, log width of its interval, whether it holds) without and with the other card."""
    found = []
    for step in timm_steps():
        trace = step.trace
        seconds = {machine: taken for machine, torch, taken in step.rows if torch == "2.4.0"}
        if step.is_compiled or set(seconds) != set(CARDS):
            continue
        for here, there in (CARDS, CARDS[::-1]):
            observed = observe(
                trace, find_machine(here), "step", seconds=seconds[here], phase_seconds={}, sigma=REPEATED_SIGMA
            )
            pair = (predict_time(trace, find_machine(there)), sharpen(trace, find_machine(there), "step", observed))
            found.append([_scored(each, seconds[there]) for each in pair])
    return found


def _scored(time, seconds):
    low, high = time.interval_seconds
    return time.step_seconds / seconds, log(high / low), low <= seconds <= high


def test_a_time_on_one_card_sharpens_that_on_the_other(transferred):
    before, after = ([abs(pair[place][0] - 1) for pair in transferred] for place in (0, 1))
    assert len(transferred) >= 20
    assert mean(after) < mean(before)


def test_the_narrower_interval_still_holds(transferred):
    assert mean(after[1] / before[1] for before, after in transferred) < 0.9
    assert mean(after[2] for _, after in transferred) >= 0.85


# ---------------------------------------------------------------------- laws
def step(rows=4096, phase=FORWARD):
    """A product and an addition."""
    shapes = (("float16", (rows, 1024)), ("float16", (1024, 1024)))
    product = OperatorKind("aten.mm.default", shapes, 2 * rows * 1024**2, 4 * rows * 1024, 2 * rows * 1024)
    addition = OperatorKind("aten.add.Tensor", shapes[:1] * 2, 0, 4 * rows * 1024, 2 * rows * 1024)
    return Trace(
        target="cuda",
        batch_size=rows,
        storages=(),
        events=(),
        marks=(0, 0, 0),
        phase_marks=(),
        kinds=(product, addition),
        calls=(Call(0, phase, 0), Call(1, FORWARD, 0)) * 100,
        modules=("",),
        parameters=0,
    )


def seen(trace, machine, ratio, *, key="step", sigma=REPEATED_SIGMA, phases=None):
    seconds = ratio * predict_time(trace, machine).step_seconds
    return observe(trace, machine, key, seconds=seconds, phase_seconds=phases or {}, sigma=sigma)


def width(time):
    return log(time.interval_seconds[1] / time.interval_seconds[0])


@given(st.floats(0.3, 3.0), st.floats(0.01, 1.0), st.sampled_from([*CARDS, "a100-80gb"]), st.integers(64, 20_000))
def test_a_measurement_pulls_the_time_its_way_and_narrows_the_interval_where_it_is_likely(ratio, sigma, card, rows):
    trace = step()
    plain = predict_time(trace, A100)
    found = sharpen(trace, A100, "step", seen(step(rows), find_machine(card), ratio, key=str(rows), sigma=sigma))
    moved = log(found.step_seconds / plain.step_seconds)
    assert moved * log(ratio) >= 0
    assert abs(moved) <= abs(log(ratio)) + 1e-9
    if abs(log(ratio)) <= plain.sigmas.common:
        assert width(found) <= width(plain) + 1e-9


def test_the_same_step_on_the_same_machine_is_what_was_measured():
    trace = step()
    found = sharpen(trace, A100, "step", seen(trace, A100, 1.1))
    assert found.step_seconds == pytest.approx(1.1 * predict_time(trace, A100).step_seconds, rel=0.02)
    assert found.interval_seconds[1] / found.step_seconds < 1.05


def test_what_is_nearer_says_more():
    trace = step()
    here, there = find_machine("rtx-3090"), A100
    widths = [
        width(sharpen(trace, there, "step", seen(step(rows), machine, 1.1, key=key)))
        for rows, machine, key in (
            (4096, there, "step"),
            (2048, there, "half"),
            (4096, here, "step"),
            (64, here, "few"),
        )
    ]
    assert widths == sorted(widths)
    assert widths[-1] < width(predict_time(trace, there))


def test_many_cards_say_more_than_one_and_agree_on_their_mean():
    trace = step()
    cards = [find_machine(name) for name in ("rtx-3090", "rtx-4090", "h100", "t4")]
    one, many = ([each for card in cards[:count] for each in seen(trace, card, 1.2)] for count in (1, 4))
    plain = predict_time(trace, A100).step_seconds
    found = [sharpen(trace, A100, "step", observed) for observed in (one, many)]
    assert width(found[1]) < width(found[0])
    assert plain < found[0].step_seconds < found[1].step_seconds < 1.2 * plain


def test_a_surprise_widens_the_interval():
    trace = step()
    found = [sharpen(trace, A100, "step", seen(trace, find_machine("t4"), ratio)) for ratio in (1.0, 1.1, 2.0, 4.0)]
    widths = [width(each) for each in found]
    assert widths == sorted(widths)
    assert widths[0] == pytest.approx(widths[1])
    assert widths[3] > width(predict_time(trace, A100))


def test_another_kind_of_device_says_nothing():
    assert sharpen(step(), A100, "step", seen(replace(step(), target="cpu"), CPU, 2.0)) is None


def test_phases_tell_where_the_time_went():
    """The backward pass alone took longer: a step without one is hardly moved."""
    trace = step(phase=BACKWARD)
    whole = predict_time(trace, A100).step_seconds
    parts = {FORWARD: 0.1 * whole, BACKWARD: 0.9 * whole}
    observed = observe(trace, A100, "step", seconds=whole, phase_seconds=parts, sigma=REPEATED_SIGMA)
    assert [each.measured_seconds / whole for each in observed] == pytest.approx([1.0, 0.1, 0.9])
    assert sum(each.predicted_seconds for each in observed[1:]) == pytest.approx(whole)
    assert observed[0].sigma < min(each.sigma for each in observed[1:])


def test_a_phase_that_was_not_measured_or_not_predicted_is_left_out():
    trace = step()
    assert len(observe(trace, A100, "a", seconds=1.0, phase_seconds={BACKWARD: 0.5}, sigma=0.02)) == 1
    assert len(observe(trace, A100, "a", seconds=1.0, phase_seconds={FORWARD: 0.0}, sigma=0.02)) == 1


families = st.sampled_from(["matrix product", "copy", "strided copy", "batched product"])
keys = st.tuples(families, st.sampled_from(["compute", "bandwidth"]))


@st.composite
def mixes(draw):
    weights = draw(st.dictionaries(keys, st.floats(0.01, 1.0), min_size=1, max_size=6))
    shares = {key: weight / sum(weights.values()) for key, weight in weights.items()}
    of_family = {family: sum(share for key, share in shares.items() if key[0] == family) for family, _ in shares}
    families_off = {name: 0.4 * share for name, share in of_family.items() if name != "matrix product"}
    sigmas = Sigmas(draw(st.sampled_from([0.1, 0.2])), families_off, draw(st.floats(0, 0.25)))
    return Mix(draw(st.sampled_from("ab")), draw(st.sampled_from("mn")), "cuda", shares, sigmas)


@given(st.lists(mixes(), min_size=1, max_size=8))
def test_errors_of_any_steps_have_a_covariance(found):
    table = np.array([[covariance(one, other) for other in found] for one in found])
    assert table == pytest.approx(table.T)
    assert np.linalg.eigvalsh(table).min() >= -1e-9
    assert np.diag(table) == pytest.approx([mix.sigmas.total**2 for mix in found])


def test_an_observation_is_a_ratio():
    mix = mix_of(step(), A100, "step")
    assert sum(mix.shares.values()) == pytest.approx(1)
    assert exp(Observation(mix, 3.0, 2.0, 0.1).log_ratio) == pytest.approx(1.5)
    assert mix.sigmas.total == pytest.approx(hypot(mix.sigmas.common, mix.sigmas.launching))
