"""This machine: its NVIDIA card where the driver shows one, else its processor; as probed, where a probe is kept."""

import os
from contextlib import suppress
from dataclasses import dataclass

import pynvml  # type: ignore[import-untyped]  # nvidia-ml-py ships no types

from sslbench.hardware_profiles.cpu import describe_cpu, memory_figure
from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.kept import kept_probe
from sslbench.hardware_profiles.processor import processor_name, usable_cores
from sslbench.hardware_profiles.schema import Figure, Machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What NVML tells of one NVIDIA card."""

    name: str
    """As nvidia-smi shows it, `NVIDIA GeForce RTX 4090`."""
    memory_bytes: int
    power_watts: float | None


def describe_here() -> Machine:
    """This machine, named `here`.

    With an NVIDIA card: its kept probe, else its shipped or database profile, with the memory total and power limit
    that NVML reports. A card that has neither, a driver that does not answer, or no card at all leave the processor
    (`processor_here`).
    """
    card = nvidia_card()
    if card is None:
        return processor_here()
    kept, notes = kept_probe(card.name, usable_cores())
    profile = kept or profile_of(card)
    if profile is None:
        notes = f"{card.name} has no profile, so this is the processor; a TOML file can describe the card"
        return processor_here().model_copy(update={"notes": notes})
    return described(profile, card, notes)


def processor_here() -> Machine:
    """This machine's processor, named `here`: its kept probe, else as `describe_cpu` has it."""
    kept, notes = kept_probe(processor_name(), usable_cores())
    if kept is None:
        return describe_cpu().model_copy(update={"notes": notes})
    device = kept.device.model_copy(update={"memory_bytes": memory_figure()})
    return kept.model_copy(update={"name": "here", "device": device})


def described(profile: Machine, card: Card, notes: str = "") -> Machine:
    """A card's profile as this machine, named `here`, with what NVML tells of the card."""
    changes: dict[str, object] = {
        "memory_bytes": Figure(value=card.memory_bytes, basis="measured", source="NVML: total memory of the card")
    }
    if card.power_watts is not None:
        changes["power_watts"] = Figure(value=card.power_watts, basis="measured", source="NVML: enforced power limit")
    device = profile.device.model_copy(update=changes)
    return profile.model_copy(
        update={"name": "here", "title": card.name, "aliases": (), "device": device, "notes": notes}
    )


def nvidia_card() -> Card | None:
    """The first NVIDIA card that CUDA programs would use, or None where NVML finds none or does not work."""
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError, OSError):
        return None
    try:
        handle = _first_visible()
        if handle is None:
            return None
        name = pynvml.nvmlDeviceGetName(handle)
        total = pynvml.nvmlDeviceGetMemoryInfo(handle).total
        return Card(name=str(name), memory_bytes=int(total), power_watts=_power_watts(handle))
    except (pynvml.NVMLError, OSError):
        return None
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def profile_of(card: Card) -> Machine | None:
    """The shipped or database profile of a card; of several that its name may mean, the one nearest in memory."""
    from sslbench.hardware_profiles.gpus import cards_named, machine_from_card  # noqa: PLC0415 - loads the database
    from sslbench.hardware_profiles.loader import load_machine  # noqa: PLC0415 - the loader imports this module

    try:
        return load_machine(card.name)
    except ProfileError:
        candidates = []
        for spec in cards_named(card.name):
            with suppress(ProfileError):
                candidates.append(machine_from_card(spec))
    return min(candidates, key=lambda m: abs(m.device.memory_bytes.value - card.memory_bytes), default=None)


def _first_visible() -> object | None:
    """NVML's handle of the first card in CUDA_VISIBLE_DEVICES; an empty or negative entry hides all cards."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return _handle_by_uuid(first)
    if not first.isdecimal() or int(first) >= pynvml.nvmlDeviceGetCount():
        return None
    return _handle_by_index(int(first))


def _handle_by_uuid(uuid: str) -> object:
    return pynvml.nvmlDeviceGetHandleByUUID(uuid)


def _handle_by_index(index: int) -> object:
    return pynvml.nvmlDeviceGetHandleByIndex(index)


def _power_watts(handle: object) -> float | None:
    try:
        milliwatts = pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)
    except pynvml.NVMLError:
        return None
    return milliwatts / 1000 or None
