"""The software and the host that a record was made with."""

import importlib.metadata
import os
import platform
from functools import cache

import psutil

from sslbench.bench.quantities import Environment
from sslbench.hardware_profiles.processor import processor_name

PACKAGES = ("torch", "transformers", "onnxruntime", "onnxruntime-gpu", "onnx", "numpy", "timm")


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


@cache
def package_version(name: str) -> str | None:
    """Version of an installed distribution, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
