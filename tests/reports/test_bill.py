import pytest

from sslbench.bench.billing import Bill, Plan
from sslbench.bench.quantities import Energy
from sslbench.reports.bill import format_between, format_kwh, format_run, format_usd, run_view
from sslbench.reports.html import render_html
from sslbench.reports.markdown import render_markdown

DAY = 86_400
BILL = Bill(
    budget="3 epochs of 10 <b>samples</b>",
    source="the paper <i>",
    samples=30,
    steps=15,
    seconds=3 * DAY,
    seconds_interval=(2.5 * DAY, 4 * DAY),
    watts=1200.0,
    joules=3.6e8,
    joules_interval=(3e8, 4e8),
    rent_usd=123.4,
    rent_usd_interval=(100.0, 200.0),
    electricity_usd=20.0,
    buy_usd=6396.0,
    break_even_seconds=200 * DAY,
)
PLAN = Plan(
    strategy="ddp",
    devices=16,
    machines=2,
    bus_bytes_per_second=1e11,
    single_step_seconds=0.1,
    communication_bytes=2**30,
    communication_seconds=0.02,
    exposed_seconds=0.005,
    efficiency=0.93,
)


@pytest.mark.parametrize(
    ("seconds", "words"), [(90, "90.0 s"), (3 * DAY, "3.00 days"), (40 * 3600, "40 h 00 min"), (3e9, "95.1 years")]
)
def test_long_durations(seconds, words):
    assert format_run(seconds) == words


def test_money_and_energy():
    assert [format_usd(value) for value in (0.361, 99.99, 1520.4)] == ["0.36 USD", "99.99 USD", "1,520 USD"]
    assert [format_kwh(joules) for joules in (3.6e6, 1.85e9, 7.2e10)] == ["1.00 kWh", "514 kWh", "20.0 MWh"]


def test_an_interval_says_its_unit_once_where_it_can():
    assert format_between((2.5 * DAY, 4 * DAY), format_run) == "2.50 to 4.00 days"
    assert format_between((7200, 40 * 3600), format_run) == "2 h 00 min to 40 h 00 min"
    assert format_between(None, format_run) == ""


@pytest.fixture
def record(sample):
    energy = Energy(joules_per_step=279.0, interval_joules=(213.0, 375.0))
    return sample("prediction-fits").model_copy(update={"bill": BILL, "plan": PLAN, "energy": energy})


def test_every_figure_is_said(record):
    rows = dict(run_view(record).rows)
    assert rows["devices"].startswith("16 in 2 machines, ddp: 93 % of as many single ones; 1.00 GiB exchanged")
    assert rows["energy"] == "279 J a step, 90 % interval 213 to 375 J"
    assert rows["whole run"].endswith("here 15 steps of 2")
    assert rows["  time"] == "3.00 days, 90 % interval 2.50 to 4.00 days"
    assert rows["  energy"].startswith("100 kWh at 1.20 kW, boards only")
    assert rows["  cost"] == (
        "rented 123 USD, 90 % interval 100 to 200 USD; electricity 20.00 USD; bought 6,396 USD; "
        "buying pays after 200 days of use"
    )


def test_a_measurement_has_none(sample):
    assert run_view(sample("measurement-cpu")).rows == ()


def test_reports_show_it_and_escape_it(record):
    page = render_html([record])
    assert "<dt>Rent of the run</dt>" in page
    assert "Energy and the whole run" in render_html([record, record])
    assert "<i>" not in page
    assert "the paper &lt;i&gt;" in page
    text = render_markdown([record])
    assert "### Energy and the whole run" in text
    assert "<b>samples" not in text


def test_reports_without_it_have_no_such_section(sample):
    pair = [sample("prediction-fits"), sample("prediction-tight")]
    assert "Rent of the run" not in render_html(pair[:1])
    assert "the whole run" not in render_html(pair)
