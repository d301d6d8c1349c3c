"""What the operating system says of the processors around a measurement. Elsewhere than on Linux most is unknown.

psutil's `cpu_freq` and `sensors_battery` are not used on Linux: the first gives a nominal frequency where none can be
read, the second takes a wireless mouse for the machine's battery.
"""

import os
import platform
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

_SYS = Path("/sys")
_POLICIES = "devices/system/cpu/cpufreq/policy*"  # a folder for each group of cores that share a clock
# Drivers whose `powersave` raises the clock with the load, and is their default:
# https://docs.kernel.org/admin-guide/pm/intel_pstate.html and .../amd-pstate.html, active mode.
_DYNAMIC_DRIVERS = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
_CONTAINERS_IN_GROUPS = (("kubepods", "kubernetes"), ("libpod", "podman"), ("docker", "docker"), ("lxc", "lxc"))


def governor(sys: Path = _SYS) -> str | None:
    """The frequency governor of all cores, `mixed` where they differ; None where there is none."""
    return _common(_of_policies(sys, "scaling_governor"))


def holds_clocks_down(sys: Path = _SYS) -> bool:
    """Whether the governor keeps cores at their lowest clock whatever the load."""
    if _common(_of_policies(sys, "scaling_driver")) in _DYNAMIC_DRIVERS:
        return False
    return "powersave" in _of_policies(sys, "scaling_governor")


def frequency_mhz(sys: Path = _SYS) -> float | None:
    """Mean clock of the cores just now, None where the system does not tell."""
    cores, sum_khz = 0, 0
    for folder in sys.glob(_POLICIES):
        khz = _text(folder / "scaling_cur_freq")
        if khz.isdecimal():
            members = len(_text(folder / "affected_cpus").split()) or 1
            cores, sum_khz = cores + members, sum_khz + members * int(khz)
    return sum_khz / cores / 1e3 if cores else None


def smt(sys: Path = _SYS) -> bool | None:
    """Whether cores run several threads at once, None where the system does not tell."""
    return {"1": True, "0": False}.get(_text(sys / "devices/system/cpu/smt/active"))


def heat_events(sys: Path = _SYS) -> int:
    """How often heat has made cores slow down since the start of the system; 0 where that is not counted."""
    counts = (_text(path) for path in sys.glob("devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"))
    return sum(int(text) for text in counts if text.isdecimal())


def container(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> str | None:
    """The kind of container around this process, None where nothing shows one.

    The signs are those of systemd-detect-virt(1), and what Kubernetes and Apptainer set in every container.
    """
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "kubernetes"
    if "APPTAINER_CONTAINER" in environment or "SINGULARITY_CONTAINER" in environment:
        return "apptainer"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    named = _text(root / "run/systemd/container") or environment.get("container", "")
    groups = _text(root / "proc/1/cgroup")
    return named or next((kind for sign, kind in _CONTAINERS_IN_GROUPS if sign in groups), None)


def load_average() -> float | None:
    """Processes that ran or waited for a core over the last minute; None where the system keeps no such figure."""
    with suppress(OSError, AttributeError):  # Windows has none
        return os.getloadavg()[0]
    return None


def swap_used_bytes() -> int | None:
    """Bytes of memory that the system has moved to disk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # psutil misses counters that are not asked for here
        with suppress(OSError, RuntimeError):
            return int(psutil.swap_memory().used)
    return None


def on_battery(sys: Path = _SYS) -> bool:
    """Whether the machine itself, not a mouse, runs on its battery."""
    if platform.system() != "Linux":
        with suppress(AttributeError, OSError, RuntimeError):
            battery = psutil.sensors_battery()
            return battery is not None and battery.power_plugged is False
        return False
    supplies = [folder for folder in sys.glob("class/power_supply/*") if _text(folder / "scope") != "Device"]
    if any(_text(folder / "online") == "1" for folder in supplies if _text(folder / "type") != "Battery"):
        return False
    return any(_text(f / "type") == "Battery" and _text(f / "status") == "Discharging" for f in supplies)


def _of_policies(sys: Path, name: str) -> list[str]:
    texts = (_text(folder / name) for folder in sys.glob(_POLICIES))
    return [text for text in texts if text]


def _common(texts: list[str]) -> str | None:
    if not texts:
        return None
    return texts[0] if len(set(texts)) == 1 else "mixed"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
