import os

import pytest

from sslbench.bench.measure import host


@pytest.fixture
def write(tmp_path):
    def write(files: dict[str, object]):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return tmp_path

    return write


def policy(number, **files):
    return {f"devices/system/cpu/cpufreq/policy{number}/{name}": text for name, text in files.items()}


def test_a_system_that_shows_nothing(tmp_path):
    assert host.governor(tmp_path) is None
    assert host.frequency_mhz(tmp_path) is None
    assert host.smt(tmp_path) is None
    assert host.heat_events(tmp_path) == 0
    assert not host.holds_clocks_down(tmp_path)
    assert host.container(tmp_path, {}) is None


def test_cores_that_share_a_clock_count_each(write):
    sys = write(policy(0, scaling_cur_freq=1_000_000, affected_cpus="0 1 2") | policy(3, scaling_cur_freq=3_000_000))
    assert host.frequency_mhz(sys) == 1500.0


@pytest.mark.parametrize(
    ("governors", "driver", "named", "held_down"),
    [
        (("performance", "performance"), "acpi-cpufreq", "performance", False),
        (("powersave", "powersave"), "acpi-cpufreq", "powersave", True),
        (("performance", "powersave"), "acpi-cpufreq", "mixed", True),
        (("powersave", "powersave"), "intel_pstate", "powersave", False),
        (("powersave", "powersave"), "amd-pstate-epp", "powersave", False),
    ],
)
def test_powersave_holds_clocks_down_unless_the_driver_means_something_else(write, governors, driver, named, held_down):
    files = {}
    for number, governor in enumerate(governors):
        files |= policy(number, scaling_governor=governor, scaling_driver=driver)
    assert host.governor(write(files)) == named
    assert host.holds_clocks_down(write(files)) is held_down


@pytest.mark.parametrize(("text", "smt"), [("1", True), ("0", False), ("odd", None)])
def test_several_threads_a_core(write, text, smt):
    assert host.smt(write({"devices/system/cpu/smt/active": text})) is smt


def test_heat_is_counted_over_all_cores(write):
    counts = {f"devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count": core + 1 for core in range(3)}
    assert host.heat_events(write(counts)) == 6


def supply(name, **files):
    return {f"class/power_supply/{name}/{file}": text for file, text in files.items()}


LAPTOP = supply("BAT0", type="Battery", status="Discharging")
MOUSE = supply("hidpp_battery_0", type="Battery", status="Discharging", scope="Device")


@pytest.mark.skipif(not os.path.isdir("/sys"), reason="Linux alone shows power supplies as files")  # noqa: PTH112
@pytest.mark.parametrize(
    ("files", "on_battery"),
    [
        ({}, False),
        (LAPTOP, True),
        (LAPTOP | supply("AC", type="Mains", online=0), True),
        (LAPTOP | supply("AC", type="Mains", online=1), False),
        (LAPTOP | supply("ucsi", type="USB", online=1), False),
        (supply("BAT0", type="Battery", status="Full"), False),
        (MOUSE, False),
        (MOUSE | LAPTOP, True),
    ],
)
def test_the_machines_battery_counts_and_that_of_a_mouse_does_not(write, files, on_battery):
    assert host.on_battery(write(files)) is on_battery


@pytest.mark.parametrize(
    ("files", "environment", "kind"),
    [
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({}, {"APPTAINER_CONTAINER": "/image.sif"}, "apptainer"),
        ({"run/systemd/container": "systemd-nspawn"}, {}, "systemd-nspawn"),
        ({}, {"container": "lxc"}, "lxc"),
        ({"proc/1/cgroup": "12:cpu:/kubepods/burstable/pod1"}, {}, "kubernetes"),
        ({"proc/1/cgroup": "0::/system.slice/docker-3f.scope"}, {}, "docker"),
        ({"proc/1/cgroup": "0::/init.scope"}, {}, None),
    ],
)
def test_signs_of_a_container(write, files, environment, kind):
    assert host.container(write(files), environment) == kind


def test_this_machine_answers():
    assert (host.swap_used_bytes() or 0) >= 0
    assert (host.load_average() or 0) >= 0
    assert host.frequency_mhz() is None or host.frequency_mhz() > 100
