"""The processor of this machine, as the system describes it: nothing is measured."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import psutil

from sslbench.hardware_profiles.control_group import read_text
from sslbench.hardware_profiles.schema import Processor

INSTRUCTIONS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "amx_fp16",
    "neon",
    "sve",
    "bf16",
    "i8mm",
)
"""As Linux's /proc/cpuinfo names them: `flags` on x86, `Features` on Arm (where NEON is called asimd)."""
_NAMES = {"asimd": "neon"}
_MAC_QUESTION = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
_SYSTEM = Path("/sys/devices/system")
_UNITS = {"K": 2**10, "M": 2**20}


@cache
def describe_processor() -> Processor:
    """The processor; what the system does not tell is None or missing. Elsewhere than on Linux that is most of it."""
    caches = cache_sizes()
    return Processor(
        name=processor_name(),
        cores=usable_cores(),
        logical_cores=os.cpu_count() or 1,
        instructions=instructions(),
        l1_cache_bytes=caches.get(1),
        l2_cache_bytes=caches.get(2),
        l3_cache_bytes=caches.get(3),
        memory_channels=memory_channels(),
    )


@cache
def processor_info() -> dict[str, str]:
    """Fields of the first processor in Linux's /proc/cpuinfo; empty elsewhere."""
    pairs = (line.partition(":") for line in read_text(Path("/proc/cpuinfo")).split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


@cache
def processor_name() -> str:
    """The processor's marketing name; the instruction set (`aarch64`) where the system knows no name."""
    found = processor_info().get("model name", "") if platform.system() == "Linux" else _mac_name()
    return " ".join((found or platform.processor() or platform.machine() or "unknown").split())


def usable_cores() -> int:
    """Physical cores that this process may run on."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(psutil.cpu_count(logical=False) or allowed, allowed), 1)


def instructions() -> tuple[str, ...]:
    """Those of `INSTRUCTIONS` that the processor has."""
    info = processor_info()
    flags = {_NAMES.get(flag, flag) for flag in (info.get("flags") or info.get("Features") or "").split()}
    return tuple(name for name in INSTRUCTIONS if name in flags)


def cache_sizes(system: Path = _SYSTEM) -> dict[int, int]:
    """Bytes of the first core's data caches by level; of one that several cores share, the whole."""
    sizes = {}
    for folder in sorted(system.glob("cpu/cpu0/cache/index*")):
        level, size = read_text(folder / "level").strip(), read_text(folder / "size").strip()
        if read_text(folder / "type").strip() in ("Data", "Unified") and level.isdecimal() and size[:-1].isdecimal():
            sizes[int(level)] = int(size[:-1]) * _UNITS.get(size[-1], 1)
    return sizes


def memory_channels(system: Path = _SYSTEM) -> int | None:
    """Memory channels with a module, where the driver of an error-correcting memory controller counts them.

    https://docs.kernel.org/admin-guide/RAS/main.html, `dimm_location`: `channel 0 slot 1`.
    """
    found = set()
    for folder in system.glob("edac/mc/mc*/dimm*"):
        place = read_text(folder / "dimm_location").split()
        if "channel" in place[:-1] and read_text(folder / "size").strip() not in ("", "0"):
            found.add((folder.parent.name, place[place.index("channel") + 1]))
    return len(found) or None


def _mac_name() -> str:
    if platform.system() != "Darwin":
        return ""
    try:
        answer = subprocess.run(_MAC_QUESTION, capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
