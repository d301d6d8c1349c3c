"""The probe that `here` is described from: bound to the device and to PyTorch."""

import pytest

from sslbench.hardware_profiles import here, kept
from sslbench.hardware_profiles.cpu import describe_cpu
from sslbench.hardware_profiles.here import Card, describe_here, processor_here
from sslbench.hardware_profiles.kept import FOLDER_VARIABLE, kept_path, kept_probe, torch_version
from sslbench.hardware_profiles.loader import load_machine
from sslbench.hardware_profiles.processor import processor_name, usable_cores
from sslbench.hardware_profiles.schema import Figure, KernelTiming, Machine, Point, Probe
from sslbench.hardware_profiles.writer import dump_machine

DISPATCH = KernelTiming(kernel="dispatch", dtype="fp32", points=(Point(seconds=1e-6),), noise=0.0, source="made up")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def keep(base: Machine, device: str, torch: str | None = None) -> Machine:
    probe = Probe(device=device, torch=torch or torch_version(), date="2026-01-31T12:00Z", seconds=40)
    memory = Figure(value=1.0, basis="measured", source="long ago")
    changed = base.device.model_copy(update={"kernels": (DISPATCH,), "memory_bytes": memory})
    machine = base.model_copy(update={"name": "probed", "device": changed, "probe": probe})
    path = kept_path(device, usable_cores())
    path.parent.mkdir(exist_ok=True)
    path.write_text(dump_machine(machine), encoding="utf-8")
    return machine


def test_nothing_is_kept_at_first():
    assert kept_probe(processor_name(), usable_cores()) == (None, "")
    assert processor_here() == describe_cpu()


def test_the_processor_as_probed_with_the_memory_of_today():
    keep(describe_cpu(), processor_name())
    found = processor_here()
    assert (found.name, found.probe.seconds, found.device.kernels) == ("here", 40, (DISPATCH,))
    assert found.device.memory_bytes == describe_cpu().device.memory_bytes


def test_a_card_as_probed_with_the_memory_and_power_that_nvml_tells(monkeypatch):
    name = "NVIDIA GeForce RTX 4090"
    monkeypatch.setattr(here, "nvidia_card", lambda: Card(name=name, memory_bytes=2**34, power_watts=300.0))
    keep(load_machine("rtx-4090"), name)
    found = describe_here()
    assert (found.name, found.title, found.device.kernels) == ("here", name, (DISPATCH,))
    assert (found.device.memory_bytes.value, found.device.power_watts.value) == (2**34, 300)


@pytest.mark.parametrize("damage", ["other torch", "damaged", "other device"])
def test_a_probe_that_does_not_hold_is_left_and_the_notes_say_why(damage):
    name = processor_name()
    keep(describe_cpu(), name, torch="1.0" if damage == "other torch" else None)
    path = kept_path(name, usable_cores())
    if damage == "damaged":
        path.write_text(path.read_text("utf-8")[:200], encoding="utf-8")
    if damage == "other device":
        path.write_text(path.read_text("utf-8").replace(f'device = "{name}"', 'device = "another"'), encoding="utf-8")
    found = processor_here()
    assert found.device == describe_cpu().device
    assert found.notes.endswith("run `sslbench probe` again")
    assert {"other torch": "torch 1.0", "damaged": "is not TOML", "other device": "is no probe of"}[
        damage
    ] in found.notes


def test_without_pytorch_no_probe_holds(monkeypatch):
    keep(describe_cpu(), processor_name())

    def missing(name):
        raise kept.PackageNotFoundError(name)

    monkeypatch.setattr(kept, "version", missing)
    assert kept_probe(processor_name(), usable_cores())[0] is None


def test_names_of_devices_are_names_of_files():
    assert (
        kept_path("Intel(R) Xeon(R) Gold 6348 CPU @ 2.60GHz", 28).name
        == "intel-r-xeon-r-gold-6348-cpu-2-60ghz-28-cores.toml"
    )
    assert kept_path("../..", 1).name == "unknown-1-cores.toml"
