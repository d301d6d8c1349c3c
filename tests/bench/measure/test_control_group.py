import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measure.control_group import ControlGroup


def write_listing(folder, lines: str) -> None:
    """What /proc/self/cgroup says."""
    (folder / "proc" / "self").mkdir(parents=True, exist_ok=True)
    (folder / "proc" / "self" / "cgroup").write_text(lines)


@pytest.fixture
def group(tmp_path):
    """A control group of the given line in /proc/self/cgroup, with files below /sys/fs/cgroup."""

    def make(lines: str, files: dict[str, str]):
        write_listing(tmp_path, lines)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return ControlGroup(tmp_path / "proc", tmp_path / "cgroup")

    return make


def test_version_2(group):
    made = group(
        "0::/user.slice/job\n",
        {
            "user.slice/job/cpu.max": "150000 100000\n",
            "user.slice/job/memory.max": "1048576\n",
            "user.slice/job/cpu.stat": "usage_usec 7\nnr_throttled 3\nthrottled_usec 2500000\n",
        },
    )
    assert made.cpu_limit() == 1.5
    assert made.memory_limit_bytes() == 2**20
    assert made.throttled_seconds() == 2.5


def test_version_1(group):
    made = group(
        "5:cpu,cpuacct:/job\n4:memory:/job\n3:cpuset:/job\n",
        {
            "cpu/job/cpu.cfs_quota_us": "50000\n",
            "cpu/job/cpu.cfs_period_us": "100000\n",
            "cpu/job/cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 1500000000\n",
            "memory/job/memory.limit_in_bytes": "1048576\n",
        },
    )
    assert made.cpu_limit() == 0.5
    assert made.memory_limit_bytes() == 2**20
    assert made.throttled_seconds() == 1.5


def test_the_tightest_level_rules(group):
    made = group(
        "0::/a/b\n",
        {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000", "a/b/cpu.stat": "throttled_usec 0\n"},
    )
    assert made.cpu_limit() == 2.0
    assert made.throttled_seconds() == 0.0


def test_a_container_sees_its_own_files_at_the_root_under_the_hosts_path(group):
    made = group("0::/docker/3f\n", {"cpu.max": "400000 100000", "cpu.stat": "throttled_usec 1000000\n"})
    assert made.cpu_limit() == 4.0
    assert made.throttled_seconds() == 1.0


@pytest.mark.parametrize(
    ("lines", "files"),
    [
        ("0::/\n", {}),
        ("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
        ("1:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}),
        ("0::/\n", {"cpu.max": "0 0\n", "cpu.stat": "throttled_usec -1\n"}),
    ],
)
def test_no_limit(group, lines, files):
    made = group(lines, files)
    assert made.cpu_limit() is None
    assert made.memory_limit_bytes() is None
    assert made.throttled_seconds() is None


def test_a_system_without_control_groups(tmp_path):
    made = ControlGroup(tmp_path / "none", tmp_path)
    assert made.cpu_limit() is None
    assert made.throttled_seconds() is None


@given(st.integers(1, 10**7), st.integers(1000, 10**6))
def test_a_limit_is_its_share_of_the_period(tmp_path_factory, quota, period):
    folder = tmp_path_factory.getbasetemp()
    write_listing(folder, "0::/\n")
    (folder / "cpu.max").write_text(f"{quota} {period}\n")
    assert ControlGroup(folder / "proc", folder).cpu_limit() == pytest.approx(quota / period)


@given(st.text(st.characters(codec="utf-8")))
def test_no_file_is_odd_enough_to_fail(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp()
    write_listing(folder, "0::/\n")
    for name in ("cpu.max", "cpu.stat"):
        (folder / name).write_text(text)
    made = ControlGroup(folder / "proc", folder)
    assert (made.cpu_limit() or 1) > 0
    assert (made.throttled_seconds() or 0) >= 0
