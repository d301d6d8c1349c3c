"""Power, against what Zeus measured.

Rows: mean power of training at the card's highest limit, ResNet-50 on ImageNet and BERT-base on SQuAD in fp32, and
`waiting`: ShuffleNet V2 on 8 and 16 images of 32 px, which the host bounds. Source:
https://github.com/ml-energy/zeus/tree/43297f6/examples/research_reproducibility/zeus_nsdi23/trace, summary_power_*.csv
"""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.energy import BUSY, WAITING, joules_interval, power_watts

DATA = Path(__file__).parents[2] / "data"
FITTED = ("v100-pcie-32gb", "a40")


def errors(*, waiting, machines):
    with (DATA / "gpu_power.csv").open() as file:
        for row in csv.DictReader(file):
            if (row["model"] == "waiting") is waiting and machines(row["machine"]):
                device = find_machine(row["machine"]).device
                assert device.power_watts.value == float(row["limit_watts"])
                busy = 0.0 if waiting else 1.0
                yield power_watts(device, busy, 1.0) / float(row["watts"]) - 1


def test_busy_cards():
    seen = list(errors(waiting=False, machines=lambda name: name in FITTED))
    assert len(seen) == 13
    assert max(map(abs, seen)) < 0.13


def test_a_busy_card_that_nothing_was_fitted_on():
    assert max(map(abs, errors(waiting=False, machines=lambda name: name == "quadro-rtx-6000"))) < 0.05


def test_an_old_card_draws_less_than_predicted():
    assert all(0.2 < error < 0.5 for error in errors(waiting=False, machines=lambda name: name == "p100-pcie-16gb"))


def test_waiting_cards_lie_around_the_prediction():
    seen = list(errors(waiting=True, machines=lambda _: True))
    assert min(seen) < 0 < max(seen)
    assert all(-0.4 < error < 0.35 for error in seen)


def test_power_lies_between_waiting_and_busy():
    device = find_machine("a100-80gb").device
    half = power_watts(device, 0.5, 1.0)
    assert 400 * WAITING < half < 400 * BUSY
    assert power_watts(device, 2.0, 1.0) == pytest.approx(400 * BUSY)


def test_what_has_no_limit_has_no_power():
    assert power_watts(find_machine("m3-max").device, 1.0, 1.0) is None


@given(st.floats(1, 1e9), st.floats(1e-3, 1e3), st.floats(1.01, 3))
def test_an_energy_is_known_less_well_than_its_time(joules, seconds, spread):
    low, high = joules_interval(joules, seconds, (seconds / spread, seconds * spread))
    assert low < joules / spread < joules * spread < high
