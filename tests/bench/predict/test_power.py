"""The clock that a board's power holds: published matrix products, and laws."""

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.power import LEAST_CLOCK, Load, clock_share, sustained
from sslbench.bench.predict.time import operator_seconds
from sslbench.bench.trace.events import OperatorKind

ACHIEVED = Path(__file__).parents[2] / "data" / "achieved_matmul.csv"
HOPPER_AND_LATER = ("h100", "b200")
PRODUCTS = [
    row
    for row in csv.DictReader(ACHIEVED.read_text("utf-8").splitlines())
    if row["machine"] not in HOPPER_AND_LATER and not row["machine"].startswith("mi")
]


def product(m, n, k, dtype, size):
    return OperatorKind(
        "aten.mm.default", ((dtype, (m, k)), (dtype, (k, n))), 2 * m * n * k, size * k * (m + n), size * m * n
    )


@pytest.mark.parametrize("row", PRODUCTS, ids=lambda row: f"{row['machine']}-{row['precision']}")
def test_published_products_over_and_over_run_as_predicted(step_of, row):
    sizes = re.search(r"(\d+)x(\d+)x(\d+)", row["kernel"])
    half = row["precision"] in ("fp16", "bf16")
    shape = tuple(map(int, sizes.groups())) if sizes else (8192, 8192, 8192)
    kind = product(*shape, "float16" if half else "float32", 2 if half else 4)
    trace, device = step_of(kind, tf32=row["precision"] == "tf32"), find_machine(row["machine"]).device
    seconds = operator_seconds(kind, sustained(trace, device), trace)
    assert kind.flops / seconds == pytest.approx(float(row["achieved_tflops"]) * 1e12, rel=0.14)


def test_a_limited_board_lowers_its_clock_and_says_so(step_of):
    kind = product(8192, 8192, 8192, "float16", 2)
    device = find_machine("l4").device
    slowed = sustained(step_of(kind), device).peak_flops_per_second["fp16"]
    assert slowed.value < 0.7 * device.peak_flops_per_second["fp16"].value
    assert "power limit" in slowed.source


def test_what_moves_data_only_keeps_the_clock(step_of):
    kind = OperatorKind("aten.add.Tensor", (("float16", (1 << 28,)),) * 2, 0, 1 << 30, 1 << 29)
    device = find_machine("l4").device
    assert sustained(step_of(kind), device) is device


@pytest.mark.parametrize("name", ["gh200", "m3-max"])
def test_a_device_of_which_too_little_is_known_stays_as_it_is(step_of, name):
    device = find_machine(name).device
    assert sustained(step_of(product(8192, 8192, 8192, "float16", 2)), device) is device


SECONDS = st.floats(1e-6, 1e-2)
LOADS = st.lists(st.builds(Load, st.integers(1, 9), SECONDS, SECONDS, st.floats(0, 1), st.floats(0, 1)), min_size=1)


@given(LOADS, st.floats(50, 1000), st.floats(1, 3))
def test_more_power_never_lowers_the_clock(loads, watts, more):
    clock = clock_share(loads, watts)
    assert LEAST_CLOCK <= clock <= clock_share(loads, watts * more) <= 1
