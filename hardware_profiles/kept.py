"""The probe of this machine that `sslbench probe` keeps for `here`: found by the device, good for one PyTorch."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from platformdirs import user_cache_path

from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.loader import load_profile
from sslbench.hardware_profiles.names import canonical
from sslbench.hardware_profiles.schema import Machine

FOLDER_VARIABLE = "SSLBENCH_CACHE_DIR"
"""Environment variable that names the folder for all that sslbench keeps."""
_AGAIN = "run `sslbench probe` again"


def kept_path(device: str, cores: int) -> Path:
    """Where the probe of a device is kept, next to so many usable cores of the host."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    folder = Path(chosen) if chosen else user_cache_path("sslbench")
    return folder / "probes" / f"{canonical(device) or 'unknown'}-{cores}-cores.toml"


def kept_probe(device: str, cores: int) -> tuple[Machine | None, str]:
    """The kept probe of a device, as a machine.

    Args:
        device: name of the card or the processor.
        cores: of the host, which this process may use.

    Returns:
        The machine, or None where there is none that holds; and then why one that is there does not.
    """
    path = kept_path(device, cores)
    if not path.is_file():
        return None, ""
    try:
        machine = load_profile(path)
    except ProfileError as error:
        return None, f"its probe is damaged ({error}): {_AGAIN}"
    if machine.probe is None or machine.probe.device != device:
        return None, f"{path} is no probe of {device}: {_AGAIN}"
    if machine.probe.torch != torch_version():
        return None, f"its probe was made with torch {machine.probe.torch}, and this is {torch_version()}: {_AGAIN}"
    return machine, ""


def torch_version() -> str:
    """The installed version of PyTorch, which is not imported; empty where there is none."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""
