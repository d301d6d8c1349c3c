"""What is written is read back as the same machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.hardware_profiles.loader import load_machine, load_profile, shipped_machines
from sslbench.hardware_profiles.schema import Figure, KernelTiming, Machine, Point, Probe, Processor, Rated
from sslbench.hardware_profiles.writer import dump_machine

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
NUMBER = st.floats(min_value=1e-12, max_value=1e18)
FIGURE = st.builds(Figure, value=NUMBER, basis=st.sampled_from(["datasheet", "derived", "measured"]), source=TEXT)
POINT = st.builds(Point, shape=st.lists(st.integers(0, 10**9), max_size=4).map(tuple), seconds=NUMBER)
TIMING = st.builds(
    KernelTiming,
    kernel=TEXT,
    dtype=st.sampled_from(["fp32", "bf16"]),
    shape_names=st.lists(TEXT, max_size=3).map(tuple),
    points=st.lists(POINT, max_size=3).map(tuple),
    noise=st.floats(0, 1),
    source=TEXT,
)
PROCESSOR = st.builds(
    Processor,
    name=TEXT,
    cores=st.integers(1, 99),
    logical_cores=st.integers(1, 99),
    instructions=st.lists(TEXT, max_size=3).map(tuple),
    l1_cache_bytes=st.none() | st.integers(1, 10**9),
)
PROBE = st.builds(
    Probe, device=TEXT, torch=TEXT, date=TEXT, seconds=NUMBER, warnings=st.lists(TEXT, max_size=2).map(tuple)
)


def again(machine: Machine, folder) -> Machine:
    path = folder / "written.toml"
    path.write_text(dump_machine(machine), encoding="utf-8")
    return load_profile(path)


@pytest.mark.parametrize("machine", shipped_machines(), ids=lambda machine: machine.name)
def test_every_shipped_machine(tmp_path, machine):
    assert again(machine, tmp_path) == machine


RATED = st.builds(
    Rated, launch_seconds=FIGURE, peak_flops_per_second=st.dictionaries(st.sampled_from(["fp32", "bf16"]), FIGURE)
)
BASE = load_machine("h200")
MACHINE = st.builds(
    lambda timings, bandwidth, rated, **changes: BASE.model_copy(
        update={
            **changes,
            "device": BASE.device.model_copy(
                update={"kernels": timings, "memory_bandwidth_bytes_per_second": bandwidth, "rated": rated}
            ),
        }
    ),
    timings=st.lists(TIMING, max_size=3).map(tuple),
    bandwidth=FIGURE,
    rated=RATED,
    processor=st.none() | PROCESSOR,
    probe=st.none() | PROBE,
    title=TEXT,
    aliases=st.tuples(TEXT),
)


@given(MACHINE)
def test_any_probed_machine(tmp_path_factory, machine):
    assert again(machine, tmp_path_factory.mktemp("written")) == machine


def test_a_figure_and_a_timed_size_take_a_line_each():
    timing = KernelTiming(
        kernel="copy", dtype="fp32", points=(Point(shape=(1, 2), seconds=0.5),) * 2, noise=0, source="s"
    )
    device = BASE.device.model_copy(update={"kernels": (timing,)})
    text = dump_machine(BASE.model_copy(update={"device": device})).splitlines()
    assert text.count("    { shape = [1, 2], seconds = 0.5 },") == 2
    assert sum(line.startswith("memory_bytes = { value = 150754820096.0, basis = ") for line in text) == 1
    assert "[[device.kernels]]" in text
