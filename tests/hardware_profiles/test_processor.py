"""The processor as the system describes it, beside what lscpu says of it."""

import json
import shutil
import subprocess

import psutil
import pytest

from sslbench.hardware_profiles.processor import cache_sizes, describe_processor, memory_channels, usable_cores


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.skipif(shutil.which("lscpu") is None, reason="lscpu is of util-linux")
def test_it_is_what_lscpu_says():
    answer = subprocess.run(["lscpu", "--json"], capture_output=True, check=True, text=True, env={"LC_ALL": "C"})  # noqa: S607
    said = {row["field"].rstrip(":"): row["data"] for row in json.loads(answer.stdout)["lscpu"]}
    found = describe_processor()
    assert found.logical_cores == int(said["CPU(s)"])
    if "Model name" in said:
        assert found.name == " ".join(said["Model name"].split())
    flags = said.get("Flags", "").split()
    assert all(name in flags for name in found.instructions if name != "neon")
    assert ("avx2" in flags) == ("avx2" in found.instructions)


def test_usable_cores():
    assert 1 <= usable_cores() <= psutil.cpu_count()


def test_caches_of_the_first_core(tmp_path):
    for index, (level, kind, size) in enumerate(
        [(1, "Data", "48K"), (1, "Instruction", "32K"), (2, "Unified", "2048K"), (3, "Unified", "105M")]
    ):
        where = f"cpu/cpu0/cache/index{index}"
        write(tmp_path, {f"{where}/level": f"{level}\n", f"{where}/type": kind, f"{where}/size": f"{size}\n"})
    assert cache_sizes(tmp_path) == {1: 48 * 2**10, 2: 2 * 2**20, 3: 105 * 2**20}
    assert cache_sizes(tmp_path / "missing") == {}


def test_memory_channels_that_have_a_module(tmp_path):
    for name, place, size in [
        ("mc0/dimm0", "channel 0 slot 0", "32768"),
        ("mc0/dimm1", "channel 0 slot 1", "32768"),
        ("mc0/dimm2", "channel 1 slot 0", "32768"),
        ("mc0/dimm3", "channel 2 slot 0", "0"),
        ("mc1/dimm0", "channel 0 slot 0", "32768"),
        ("mc1/dimm1", "memory 4", "32768"),
    ]:
        write(tmp_path, {f"edac/mc/{name}/dimm_location": f"{place} \n", f"edac/mc/{name}/size": f"{size}\n"})
    assert memory_channels(tmp_path) == 3
    assert memory_channels(tmp_path / "missing") is None
