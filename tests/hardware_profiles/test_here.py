"""Describing this machine, with and without an NVIDIA card."""

from pathlib import Path

import psutil
import pynvml
import pytest

from sslbench.hardware_profiles import here
from sslbench.hardware_profiles.control_group import memory_limit_bytes
from sslbench.hardware_profiles.cpu import describe_cpu
from sslbench.hardware_profiles.here import Card, describe_here, nvidia_card, profile_of
from sslbench.hardware_profiles.kept import FOLDER_VARIABLE
from sslbench.hardware_profiles.loader import load_machine


@pytest.fixture(autouse=True)
def nothing_is_kept(tmp_path, monkeypatch):
    """A probe of the machine that the tests run on would change what is here."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))


def nvml_works() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    pynvml.nvmlShutdown()
    return True


def test_the_processor():
    machine = describe_cpu()
    device = machine.device
    assert (machine.name, device.kind, device.memory_kind) == ("here", "cpu", "host")
    assert 0 < device.memory_bytes.value <= psutil.virtual_memory().total
    assert 1 <= device.multiprocessors <= psutil.cpu_count()
    assert 1e9 < device.peak_flops_per_second["fp32"].value < 1e14
    assert 1e8 < device.memory_bandwidth_bytes_per_second.value < 1e13
    assert device.peak_flops_per_second["fp32"].basis == "measured"
    bf16 = device.peak_flops_per_second.get("bf16")
    assert bf16 is None or bf16.value in {rate * device.peak_flops_per_second["fp32"].value for rate in (2, 16)}
    assert describe_cpu() is machine


@pytest.mark.skipif(nvml_works(), reason="this machine has an NVIDIA card")
def test_without_a_card_here_is_the_processor():
    assert nvidia_card() is None
    assert load_machine("here") == describe_cpu()


@pytest.mark.cuda
@pytest.mark.skipif(not nvml_works(), reason="needs an NVIDIA card")
def test_with_a_card_here_is_the_card():
    card = nvidia_card()
    machine = describe_here()
    assert (machine.name, machine.title) == ("here", card.name)
    assert machine.device.memory_bytes.value == card.memory_bytes


def test_a_known_card_keeps_its_profile_and_takes_what_nvml_measured(monkeypatch: pytest.MonkeyPatch):
    card = Card(name="NVIDIA GeForce RTX 4090", memory_bytes=25_757_220_864, power_watts=400.0)
    monkeypatch.setattr(here, "nvidia_card", lambda: card)
    machine, profile = describe_here(), load_machine("rtx-4090")
    assert (machine.name, machine.title) == ("here", card.name)
    assert machine.device.memory_bytes.value == card.memory_bytes
    assert machine.device.power_watts.value == 400
    assert machine.device.memory_bytes.basis == machine.device.power_watts.basis == "measured"
    assert machine.device.peak_flops_per_second == profile.device.peak_flops_per_second


def test_an_unknown_card_leaves_the_processor_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(here, "nvidia_card", lambda: Card(name="NVIDIA Zzyzx 1", memory_bytes=2**34, power_watts=None))
    machine = describe_here()
    assert machine.device.kind == "cpu"
    assert "NVIDIA Zzyzx 1 has no profile" in machine.notes


@pytest.mark.parametrize(
    ("name", "gib", "profile"),
    [
        ("NVIDIA H100 PCIe", 79.6, "h100-pcie-80gb"),  # two cards bear this name: memory tells
        ("NVIDIA H100 NVL", 93.6, "h100-nvl-94gb"),
        ("NVIDIA A10", 22.5, "a10-pcie"),
        ("NVIDIA A100-PCIE-40GB", 40, "a100-pcie-40gb"),
        ("NVIDIA L4", 22.5, "l4"),
        ("NVIDIA RTX A6000", 48, "rtx-a6000"),
        ("NVIDIA RTX 6000 Ada Generation", 48, "rtx-6000-ada-generation"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 95.6, "rtx-pro-6000-blackwell-server"),
        ("NVIDIA GeForce RTX 3080 Laptop GPU", 8, "rtx-3080-mobile"),
        ("NVIDIA H200", 140.4, "h200"),
        ("NVIDIA B200", 179, "b200"),
        ("Quadro RTX 6000", 24, "quadro-rtx-6000"),
        ("Tesla P100-PCIE-16GB", 16, "p100-pcie-16gb"),
        ("NVIDIA TITAN RTX", 24, "titan-rtx"),
        ("NVIDIA TITAN V", 12, "titan-v"),
    ],
)
def test_names_that_the_driver_reports(name: str, gib: float, profile: str):
    found = profile_of(Card(name=name, memory_bytes=int(gib * 2**30), power_watts=None))
    assert found is not None
    assert found.name == profile
    assert found.device.memory_bytes.value == pytest.approx(gib * 2**30, rel=0.01)


def test_a_driver_that_breaks_on_the_way_leaves_the_processor(monkeypatch: pytest.MonkeyPatch):
    def lost(*_: object) -> None:
        raise pynvml.NVMLError_GpuIsLost

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lost)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lost)
    assert nvidia_card() is None
    assert describe_here() == describe_cpu()


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_cards_are_not_here(monkeypatch: pytest.MonkeyPatch, hidden: str):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert nvidia_card() is None


@pytest.mark.parametrize(
    ("lines", "files", "limit"),
    [
        ("0::/job/step\n", {"job/memory.max": "2048", "job/step/memory.max": "max"}, 2048),
        ("0::/job\n", {"job/memory.max": "4096", "memory.max": "1024"}, 1024),
        ("0::/outside/of/the/container\n", {"memory.max": "512\n"}, 512),
        ("5:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "256"}, 256),
        ("0::/\n", {"memory.max": "max"}, None),
        ("0::/\n", {}, None),
        ("", {}, None),
    ],
)
def test_memory_limit_of_the_control_group(tmp_path: Path, lines: str, files: dict[str, str], limit: int | None):
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(lines)
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory_limit_bytes(tmp_path, tmp_path / "fs") == limit
    assert memory_limit_bytes(tmp_path / "missing", tmp_path / "fs") is None
