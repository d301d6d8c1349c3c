"""What a GPU's memory holds before the step: the driver's context of a process, and a desktop.

CUDA before 11.7 loads every kernel of PyTorch into the context when it is made; later ones load a kernel when it is
first used (CUDA_MODULE_LOADING=LAZY). https://developer.nvidia.com/blog/cuda-toolkit-11-7-new-features-and-platform-support
"""

import re

from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.schema import Device, Figure

MIB = 2**20
_ISSUE = "https://github.com/pytorch/pytorch/issues/"
_LAZY_FROM = (11, 7)
# From a version of CUDA on: bytes after the first tensor (eager loading), and who measured them.
_EAGER = {
    (11, 0): (
        1550 * MIB,
        f"V100, CUDA 11.2: 1343 MiB (Hugging Face's model_memory_anatomy); RTX 3090, CUDA 11.0: 1488 MiB "
        f"({_ISSUE}49877); A100, torch 1.10: 1823 MiB (stas00/ml-engineering)",
    ),
    (0, 0): (
        920 * MIB,
        f"RTX 2080 Ti, CUDA 10.1: 879 MiB ({_ISSUE}49877); TITAN V, torch 1.3: 961 MiB ({_ISSUE}28394)",
    ),
}
_DESKTOP = Figure(value=600 * MIB, basis="derived", source="an estimate: 300 to 1000 MiB with a browser open")


def with_cuda(device: Device, version: str) -> Device:
    """The device as a process sees it whose PyTorch was built with this version of CUDA.

    Raises:
        ProfileError: the device runs no CUDA, or the version is no number such as 11.3.
    """
    if device.kind != "cuda":
        raise ProfileError(f"--cuda {version}: a device of kind {device.kind} runs no CUDA")
    match = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", version)
    if match is None:
        raise ProfileError(f"--cuda: expected a version such as 11.3, got {version!r}")
    number = (int(match[1]), int(match[2]))
    if number >= _LAZY_FROM:
        return device
    size, source = next(entry for start, entry in _EAGER.items() if number >= start)
    return device.model_copy(update={"context_bytes": Figure(value=size, basis="measured", source=source)})


def with_display(device: Device) -> Device:
    """The device with a desktop on it.

    Raises:
        ProfileError: the device's memory is not its own.
    """
    if device.memory_kind != "dedicated":
        raise ProfileError(f"--display: the memory of a device of kind {device.kind} is shared with the system anyway")
    return device.model_copy(update={"in_use_bytes": _DESKTOP})
