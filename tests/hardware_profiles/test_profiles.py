"""The shipped profiles: complete, sourced, and no peak that the published measurements exceed."""

import csv
from pathlib import Path

import pytest

from sslbench.hardware_profiles.gpus import machine_from_database
from sslbench.hardware_profiles.loader import load_machine, shipped_machines
from sslbench.hardware_profiles.rates import GEFORCE_CLOCK_HEADROOM
from sslbench.hardware_profiles.schema import Machine

# Dense matrix products that people measured and published; each row names its source.
ACHIEVED_CSV = Path(__file__).parents[1] / "data" / "achieved_matmul.csv"
ACHIEVED = list(csv.DictReader(ACHIEVED_CSV.read_text(encoding="utf-8").splitlines()))


MACHINES = {machine.name: machine for machine in shipped_machines()}
DERIVABLE = {
    "rtx-3090": "geforce-rtx-3090",
    "rtx-4090": "geforce-rtx-4090",
    "rtx-5090": "geforce-rtx-5090",
    "a100-40gb": "a100-sxm4-40gb",
    "a100-80gb": "a100-sxm4-80gb",
    "h100": "h100-sxm5-80gb",
    "h200": "h200-sxm-141gb",
    "t4": "tesla-t4",
    "v100-32gb": "tesla-v100-sxm2-32gb",
}


def test_the_promised_machines_are_there():
    promised = {
        "rtx-3090",
        "rtx-4090",
        "rtx-5090",
        "a100-40gb",
        "a100-80gb",
        "h100",
        "h200",
        "t4",
        "m3-max",
        "laptop-16gb",
    }
    assert promised <= MACHINES.keys()
    assert list(MACHINES) == sorted(MACHINES)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_peaks_are_ordered_as_the_hardware_is(machine: Machine):
    peaks = {dtype: figure.value for dtype, figure in machine.device.peak_flops_per_second.items()}
    assert peaks["fp32"] <= peaks.get("tf32", peaks["fp32"]) <= peaks.get("fp16", peaks["fp32"])
    assert peaks.get("bf16", peaks.get("fp16")) == peaks.get("fp16")
    assert peaks.get("fp16", 0) <= peaks.get("int8", float("inf"))


@pytest.mark.parametrize(
    ("name", "tflops"),
    [("rtx-3090", 71.2), ("rtx-4090", 165.2), ("rtx-5090", 209.5), ("a100-80gb", 312), ("h100", 989.4), ("t4", 65)],
)
def test_half_precision_is_dense_and_accumulates_in_fp32(name: str, tflops: float):
    assert MACHINES[name].device.peak_flops_per_second["fp16"].value == pytest.approx(tflops * 1e12)


@pytest.mark.parametrize(("ours", "theirs"), DERIVABLE.items())
def test_derived_figures_agree_with_the_datasheets(ours: str, theirs: str):
    profile, derived = MACHINES[ours].device, machine_from_database(theirs).device
    assert derived.peak_flops_per_second.keys() == profile.peak_flops_per_second.keys()
    for dtype, figure in profile.peak_flops_per_second.items():
        assert derived.peak_flops_per_second[dtype].value == pytest.approx(figure.value, rel=0.03), dtype
    assert derived.memory_bytes.value == pytest.approx(profile.memory_bytes.value, rel=0.001)
    bandwidth = profile.memory_bandwidth_bytes_per_second.value
    assert derived.memory_bandwidth_bytes_per_second.value == pytest.approx(bandwidth, rel=0.03)
    assert (derived.multiprocessors, derived.compute_capability) == (
        profile.multiprocessors,
        profile.compute_capability,
    )
    assert derived.architecture == profile.architecture


@pytest.mark.parametrize("row", ACHIEVED, ids=lambda row: f"{row['machine']}-{row['precision']}-{row['torch'][:12]}")
def test_no_published_matrix_product_exceeds_the_peak(row: dict[str, str]):
    machine = load_machine(row["machine"])
    peak = machine.device.peak_flops_per_second[row["precision"]].value / 1e12
    # A GeForce board boosts above its rated clock; nothing else may exceed its rated peak.
    headroom = GEFORCE_CLOCK_HEADROOM if machine.name.startswith("rtx-") and "a6000" not in machine.name else 1.0
    assert float(row["achieved_tflops"]) <= peak * headroom
    assert float(row["achieved_tflops"]) >= 0.4 * peak  # a doubled (sparse) peak would show here
