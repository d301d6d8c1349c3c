"""Machines derived from the GPU database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.gpus import database_names, machine_from_database
from sslbench.hardware_profiles.names import canonical, compact

MIB = 2**20


@pytest.mark.parametrize(
    ("name", "dtype", "tflops"),
    [
        ("rtx-a6000", "fp16", 154.8),  # RTX A6000 datasheet: 309.7 sparse
        ("rtx-a6000", "tf32", 77.4),
        ("a40", "bf16", 149.7),  # A40 datasheet
        ("a10", "fp16", 125),  # A10 datasheet
        ("a30-pcie", "fp16", 165),  # A30 datasheet
        ("l4", "fp16", 121),  # L4 datasheet: 242 sparse; the database counts two multiprocessors too many
        ("l40", "fp16", 181),  # L40 datasheet
        ("l40s", "fp16", 362),  # L40S datasheet
        ("rtx-6000-ada-generation", "fp16", 364.2),  # RTX 6000 Ada: 1457 fp8 sparse
        ("h100-pcie-80gb", "bf16", 756),  # H100 white paper
        ("h100-nvl", "bf16", 835),  # H100 NVL: 1671 sparse
        ("rtx-pro-6000-blackwell", "fp16", 503.8),  # RTX PRO Blackwell white paper
        ("titan-rtx", "fp16", 130.5),  # Turing white paper: TITAN RTX accumulates at full rate
        ("rtx-2080-ti", "fp16", 53.8),  # Turing white paper, reference clock
        ("rx-7900-xtx", "fp16", 122.8),  # AMD product page
        ("rx-9070-xt", "fp16", 195),  # AMD product page
        ("mi355x", "bf16", 2516.6),  # CDNA 4 white paper
    ],
)
def test_dense_peak_is_the_datasheets(name: str, dtype: str, tflops: float):
    peak = machine_from_database(name).device.peak_flops_per_second[dtype]
    assert peak.value == pytest.approx(tflops * 1e12, rel=0.03)
    assert peak.basis == "derived"


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("a10", 23028),
        ("a10g", 23028),
        ("l4", 23034),
        ("a40", 46068),
        ("l40s", 46068),
        ("rtx-a6000", 49140),
        ("rtx-6000-ada-generation", 49140),
        ("rtx-5080", 16303),
        ("rtx-pro-6000-blackwell-server", 97887),
        ("h200-nvl", 143771),
        ("h100-pcie-80gb", 81559),
    ],
)
def test_memory_is_what_nvidia_smi_shows(name: str, mib: int):
    assert machine_from_database(name).device.memory_bytes.value / MIB == pytest.approx(mib, rel=0.002)


@pytest.mark.parametrize("name", ["gtx-1080-ti", "tesla-p100-sxm2", "gtx-1660-ti"])
def test_cards_without_tensor_cores_have_no_fast_half_precision(name: str):
    assert machine_from_database(name).device.peak_flops_per_second.keys() == {"fp32"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("h100-pcie", "names 2 GPUs: say which, h100-pcie-80gb, h100-pcie-96gb"),
        ("rtx 4091", "did you mean rtx-4090"),
        ("no such card at all", "machines search"),
        ("jetson-agx-orin-64gb", "share the host's memory"),
        ("arc-b580", "no dense peaks are known for Intel Xe2-HPG"),
        ("tesla-k80", "no dense peaks are known for NVIDIA Kepler"),
        ("b300", "describe the machine in a TOML file"),
        ("", "no GPU is named ''"),
    ],
)
def test_what_cannot_be_described_is_refused_in_one_line(name: str, says: str):
    with pytest.raises(ProfileError) as caught:
        machine_from_database(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    st.sampled_from(database_names()), st.sampled_from(["NVIDIA ", "AMD ", ""]), st.sampled_from("- _/."), st.booleans()
)
def test_spelling_does_not_matter(name: str, brand: str, separator: str, upper: bool):
    spelled = brand + name.replace("-", separator)
    assert machine_from_database(spelled.upper() if upper else spelled).name == name


def test_every_listed_name_is_canonical_and_loads():
    assert len(database_names()) > 350
    assert len({compact(name) for name in database_names()}) == len(database_names())
    for name in database_names():
        machine = machine_from_database(name)
        assert machine.name == name == canonical(name)
        assert machine.device.peak_flops_per_second["fp32"].value > 1e11
