import subprocess
import sys
import time

import psutil
import pytest

from sslbench.bench.measure.host_memory import HostMemory
from sslbench.bench.measure.memory_limit import GIB, MIB, MemoryWatch, low_bytes

NO_FILE = "12:pids:/\n3:cpuset:/\n"


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def host(tmp_path):
    """Builds the files of a Linux host: the process's groups, and the folders of these."""
    proc, root = tmp_path / "proc", tmp_path / "cgroup"

    def build(groups: str, vmstat: str = "oom_kill 5\n") -> HostMemory:
        write(proc / "self", cgroup=groups)
        write(proc, vmstat=vmstat)
        return HostMemory(proc, root)

    return build


@pytest.fixture
def version_2(host, tmp_path):
    """A host of which the process's group may hold 1 GiB, and its parent 2 GiB."""
    limits = {"inner": ("max", 0), "inner/job": (str(GIB), 700 * MIB), "": ("max", 0)}
    for name, (limit, used) in limits.items():
        write(
            tmp_path / "cgroup" / name,
            memory__max=f"{limit}\n",
            memory__current=f"{used}\n",
            memory__stat="anon 5\ninactive_file 104857600\n",
            memory__events="low 0\noom 4\noom_kill 3\n",
        )
    return host("0::/inner/job\n")


def test_without_groups_the_machine_counts(host):
    found = host(NO_FILE)
    left = found.left()
    assert left.place == "this host"
    assert left.total_bytes == psutil.virtual_memory().total
    assert 0 < left.bytes < left.total_bytes
    assert found.oom_kills() == 5


def test_nothing_counts_what_was_ended(host):
    assert host(NO_FILE, vmstat="pgfault 7\n").oom_kills() is None


def test_the_tightest_group_counts(version_2, tmp_path):
    left = version_2.left()
    assert (left.bytes, left.total_bytes) == (GIB - 700 * MIB, GIB)
    assert "control group" in left.place
    assert version_2.oom_kills() == 3
    write(tmp_path / "cgroup/inner/job", memory__current=str(GIB - MIB))  # nearly full: the page cache is no loss
    assert version_2.left().bytes == 101 * MIB


def test_version_1_has_other_names(host, tmp_path):
    write(
        tmp_path / "cgroup/memory/job",
        memory__limit_in_bytes=str(GIB),
        memory__usage_in_bytes=str(900 * MIB),
        memory__stat="cache 1\n",
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    )
    found = host("4:memory:/job\n0::/\n")
    assert found.left().bytes == 124 * MIB
    assert found.oom_kills() == 2


def test_a_container_sees_its_group_at_the_root(host, tmp_path):
    write(tmp_path / "cgroup", memory__max=str(GIB), memory__current="0", memory__events="oom_kill 9\n")
    found = host("0::/docker/4711\n")
    assert found.left().bytes == GIB
    assert found.oom_kills() == 9


@pytest.mark.parametrize(
    ("total", "low"), [(GIB, 0.1 * GIB), (8 * GIB, 256 * MIB), (32 * GIB, 0.64 * GIB), (2**40, GIB)]
)
def test_what_is_nearly_out(total, low):
    assert low_bytes(total) == pytest.approx(low)


@pytest.fixture
def holder():
    """Starts a process that holds so many bytes, and says so."""
    started = []

    def start(code: str) -> int:
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process.pid

    yield start
    for process in started:
        process.communicate()


HOLD = "x = b'x' * 2**27; print('ready', flush=True); input()"
HOLD_APART = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"


@pytest.mark.parametrize("code", [HOLD, HOLD_APART])
def test_a_limit_counts_what_the_worker_started_too(host, holder, code):
    pid = holder(code)
    assert MemoryWatch(pid, 600 * MIB, host(NO_FILE)).complaint() is None
    complaint = MemoryWatch(pid, 100 * MIB, host(NO_FILE)).complaint()
    assert complaint.startswith("the worker held 0.1")
    assert complaint.endswith("GiB, more than its limit of 0.10 GiB")


def test_between_two_looks_nothing_is_done(host, holder, monkeypatch):
    watch = MemoryWatch(holder(HOLD), MIB, host(NO_FILE))
    assert watch.complaint()
    assert watch.complaint() is None
    time.sleep(0.1)
    until = time.monotonic() + 30
    while watch.complaint() is None:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_host_that_is_nearly_out_of_memory_ends_the_worker(version_2, host, holder, tmp_path):
    watch = MemoryWatch(holder(HOLD), None, version_2)
    write(tmp_path / "cgroup/inner/job", memory__current=str(GIB))
    write(tmp_path / "cgroup/inner/job", memory__stat="inactive_file 0\n")
    complaint = watch.complaint()
    assert "control group (container) has 0.00 GiB of its 1.00 GiB of memory left, and the worker held 0.1" in complaint
    assert "control group (container) had 0.00 GiB of memory left" in watch.kernel_was_short()


def test_the_kernels_count_tells_its_killer_from_others(version_2, holder, tmp_path):
    watch = MemoryWatch(holder(HOLD), None, version_2)
    assert watch.complaint() is None
    assert watch.kernel_was_short() is None
    write(tmp_path / "cgroup/inner/job", memory__events="oom_kill 4\n")
    assert watch.kernel_was_short() == "the kernel ended it because memory ran out"


def test_a_worker_that_is_gone_holds_nothing(host, holder):
    watch = MemoryWatch(holder("print('ready', flush=True)"), 1, host(NO_FILE))
    until = time.monotonic() + 30
    while watch.complaint() is not None:
        assert time.monotonic() < until
        time.sleep(0.2)
