"""The software and the host that a record was made with."""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

import psutil

from sslbench.bench.quantities import Environment

PACKAGES = ("torch", "transformers", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy", "timm")
_MAC_QUESTION = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]


def describe_environment() -> Environment:
    """Versions of what matters to a step's memory and time, read from package metadata; imports none of it."""
    versions = {name: version for name in PACKAGES if (version := package_version(name))}
    return Environment(
        sslbench=package_version("sslbench") or "unknown",
        python=platform.python_version(),
        platform=platform.platform(),
        processor=processor_name(),
        logical_cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        packages=versions,
    )


def package_version(name: str) -> str | None:
    """Version of an installed distribution, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def processor_name() -> str:
    """The processor's marketing name; the instruction set (`aarch64`) where the system knows no name."""
    found = _linux_processor() if platform.system() == "Linux" else _mac_processor()
    return found or platform.processor() or platform.machine() or "unknown"


def _linux_processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, "")


def _mac_processor() -> str:
    if platform.system() != "Darwin":
        return ""
    try:
        answer = subprocess.run(_MAC_QUESTION, capture_output=True, text=True, check=True, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
