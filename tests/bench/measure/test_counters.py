import os
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measure.contention import Contention
from sslbench.bench.measure.energy import SHORTEST_SPAN_SECONDS, EnergyMeter, RaplZone
from sslbench.bench.measure.resident import HighWaterMark, resident_bytes
from sslbench.bench.measure.sampler import PeakSampler, process_resident_bytes

BLOCK = 64 * 2**20


def write_zone(folder, name, microjoules, highest=1000_000_000):
    folder.mkdir(exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{highest}\n")


@given(start=st.integers(0, 10**9 - 1), spent=st.integers(0, 10**9 - 1))
def test_a_counter_that_wraps_counts_on(tmp_path_factory, start, spent):
    zone = tmp_path_factory.getbasetemp() / "intel-rapl:0"
    write_zone(zone, "package-0", start, 10**9)
    counter = RaplZone(zone)
    write_zone(zone, "package-0", (start + spent) % 10**9, 10**9)
    assert counter.joules() == pytest.approx(spent / 1e6)


def test_packages_add_up_and_no_other_zone_does(tmp_path, monkeypatch):
    monkeypatch.setitem(SHORTEST_SPAN_SECONDS, "rapl", 0.0)
    zones = {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:2": "psys", "intel-rapl:0:0": "core"}
    for folder, name in zones.items():
        write_zone(tmp_path / folder, name, 0)
    meter = EnergyMeter("torch-cpu", powercap=tmp_path)
    for folder, name in zones.items():
        write_zone(tmp_path / folder, name, 3_000_000)
    reading = meter.read()
    assert reading.joules == 6.0
    assert reading.source == "RAPL, 2 processor packages"


def test_a_counter_that_stands_still_is_no_energy(tmp_path, monkeypatch):
    monkeypatch.setitem(SHORTEST_SPAN_SECONDS, "rapl", 0.0)
    write_zone(tmp_path / "intel-rapl:0", "package-0", 5)
    reading = EnergyMeter("torch-cpu", powercap=tmp_path).read()
    assert reading.joules is None
    assert reading.reason == "the counter stood still"


def test_no_counter_says_so(tmp_path):
    reading = EnergyMeter("torch-cpu", powercap=tmp_path).read()
    assert reading.joules is None
    assert "no RAPL package" in reading.reason


@pytest.mark.parametrize(
    ("backend", "reason"),
    [("torch-mps", "powermetrics"), ("torch-xpu", "Intel's"), ("torch-cuda", "NVML does not")],
)
def test_the_processors_energy_is_not_that_of_a_gpu(tmp_path, backend, reason):
    write_zone(tmp_path / "intel-rapl:0", "package-0", 5)
    reading = EnergyMeter(backend, powercap=tmp_path).read()
    assert (reading.joules, reading.source) == (None, None)
    assert reason in reading.reason


def test_a_counter_that_goes_away_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(SHORTEST_SPAN_SECONDS, "rapl", 0.0)
    write_zone(tmp_path / "intel-rapl:0", "package-0", 5)
    meter = EnergyMeter("torch-cpu", powercap=tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert "could no longer be read" in meter.read().reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads what others may not")
def test_a_counter_for_root_only_says_how_to_open_it(tmp_path):
    write_zone(tmp_path / "intel-rapl:0", "package-0", 5)
    (tmp_path / "intel-rapl:0" / "energy_uj").chmod(0)
    assert "sudo chmod a+r" in EnergyMeter("torch-cpu", powercap=tmp_path).read().reason


def test_the_mark_remembers_what_was_given_back():
    mark = HighWaterMark()
    before = mark.read()
    if before is None:
        pytest.skip("this system keeps no high-water mark that can be reset")
    block = bytearray(os.urandom(1) * BLOCK)
    del block
    assert mark.read() - before >= BLOCK
    later = HighWaterMark().read()
    assert later < mark.read() + BLOCK
    assert later == pytest.approx(resident_bytes(), rel=0.2)


def test_the_parents_samples_see_a_block_that_is_held():
    sampler = PeakSampler(process_resident_bytes, interval_seconds=0.001)
    before = resident_bytes()
    block = bytearray(os.urandom(1) * BLOCK)
    sampler.start(os.getpid())
    while sampler.peak_bytes is None:
        pass
    sampler.stop()
    assert sampler.peak_bytes - before >= len(block) * 0.9


def test_samples_of_a_process_that_is_gone_are_none():
    sampler = PeakSampler(process_resident_bytes)
    sampler.start(2**22 + 1)  # above Linux's highest process id
    sampler.stop()
    assert sampler.peak_bytes is None


def test_another_program_that_computes_is_seen():
    other = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        contention = Contention()
        time.sleep(0.5)
        share = contention.others_share()
    finally:
        other.kill()
        other.communicate()
    assert 0.2 / psutil.cpu_count() < share <= 1


def test_a_short_span_accuses_nobody():
    assert Contention().others_share() is None
