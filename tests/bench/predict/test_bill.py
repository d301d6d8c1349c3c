import pytest

from sslbench.bench.predict.bill import bill_of
from sslbench.bench.quantities import Energy, Time
from sslbench.bench.resolve import resolve_recipe
from sslbench.hardware_profiles.schema import Figure, Price

TIME = Time(step_seconds=0.5, interval_seconds=(0.4, 0.7))
ENERGY = Energy(joules_per_step=720.0, interval_joules=(500.0, 900.0))


def usd(value):
    return Figure(value=value, basis="derived", source="a test")


def recipe(**budget):
    return resolve_recipe("simclr-resnet18", {"batch_size": 100, **({"budget": budget} if budget else {})})


def test_a_run_by_hand():
    # 90 epochs of 80,000 images on 8 devices with 100 each: 9000 steps of half a second, 4500 s, 1.25 h
    price = Price(rent_usd_per_hour=usd(2.0), buy_usd=usd(5000.0))
    bill, unknown = bill_of(recipe(epochs=90, samples=80_000), 8, TIME, ENERGY, price, electricity_usd_per_kwh=0.3)
    assert (bill.steps, bill.samples, bill.seconds) == (9000, 7_200_000, 4500.0)
    assert bill.seconds_interval == pytest.approx((3600.0, 6300.0))
    assert bill.joules == 9000 * 720.0 == pytest.approx(1.8 * 3.6e6)
    assert bill.watts == pytest.approx(1440.0)
    assert bill.rent_usd == pytest.approx(8 * 2.0 * 1.25)
    assert bill.rent_usd_interval == pytest.approx((16.0, 28.0))
    assert bill.electricity_usd == pytest.approx(1.8 * 0.3)
    assert bill.buy_usd == 40_000.0
    assert bill.break_even_seconds == pytest.approx(40_000 / (16 - 1.44 * 0.3) * 3600)
    assert not unknown


def test_a_step_begun_is_a_step_paid():
    assert bill_of(recipe(epochs=1, samples=101), 1, TIME, ENERGY, Price())[0].steps == 2


def test_what_is_not_known_says_why():
    bill, unknown = bill_of(recipe(steps=10), 1, TIME, Energy(), Price())
    assert bill.joules is bill.rent_usd is bill.buy_usd is bill.electricity_usd is bill.break_even_seconds is None
    assert set(unknown) == {"bill.joules", "bill.rent_usd", "bill.buy_usd"}


@pytest.mark.parametrize(
    ("what", "reason"), [(recipe(), "--epochs"), (recipe(tokens=100), "seq_len")], ids=["no budget", "no tokens"]
)
def test_no_bill_without_a_budget(what, reason):
    bill, unknown = bill_of(what, 1, TIME, ENERGY, Price())
    assert bill is None
    assert reason in unknown["bill"]


def test_inference_has_no_bill():
    assert bill_of(recipe(steps=10).with_options(stage="infer"), 1, TIME, ENERGY, Price()) == (None, {})


def test_renting_that_costs_less_than_the_electricity_is_never_caught_up_with():
    price = Price(rent_usd_per_hour=usd(0.1), buy_usd=usd(100.0))
    bill, _ = bill_of(recipe(steps=10), 1, TIME, ENERGY, price, electricity_usd_per_kwh=1.0)
    assert bill.break_even_seconds is None
