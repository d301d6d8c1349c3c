"""What a prediction rests on: sums, peaks and sources of `predict/explain.py`."""

import importlib.util
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.constants import MODULES, constants_used, documented
from sslbench.bench.predict.explain import WORKSPACE, at_peak, explain, phase_peaks, timeline
from sslbench.bench.predict.memory import breakdown, predict_memory
from sslbench.bench.predict.time import predict_time
from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.allocator import peak_bytes
from sslbench.bench.trace.events import BACKWARD, FORWARD, OPTIMIZER, Storage, Trace
from sslbench.bench.trace.lifetimes import alive_after, find_peak, totals
from sslbench.bench.trace.recipes import trace_recipe
from sslbench.bench.trace.tracer import trace_step
from sslbench.hardware_profiles.loader import load_profile

PROBED = Path(__file__).parents[2] / "data" / "cpu" / "probe.toml"
MACHINES = ("rtx-3090", "a100-80gb", "m3-max", "laptop-16gb")
CATEGORIES = ("parameter", "gradient", "activation", "temporary")
STEP = """\
import torch

def build(device, batch_size=64):
    model = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3), torch.nn.Flatten(), torch.nn.Linear(8 * 14 * 14, 10))
    model = model.to(device)
    optimizer = torch.optim.Adam(model.parameters())
    x = torch.randn(batch_size, 8, 16, 16, device=device)

    def step():
        wide = torch.exp(model(x).repeat(1, 50))
        wide.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
"""
BIG_LINE = 10


@pytest.fixture(scope="module")
def bert():
    recipe = Recipe(name="a", objective="mlm", model="bert-mini", batch_size=4, seq_len=32)
    return trace_recipe(recipe, "cuda", (8, 0))


@pytest.fixture
def convolutional(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_step.py").write_text(STEP, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("explained_step", tmp_path / "my_step.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return trace_step(module.build, "cuda")


def by_category(rows):
    sizes = Counter()
    for row in rows:
        sizes[row.category] += row.bytes
    return dict(sizes)


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_alive_is_the_records_breakdown_to_the_byte(bert, convolutional, machine):
    machine = find_machine(machine)
    for trace in (bert, convolutional):
        assert by_category(at_peak(trace)) == predict_memory(trace, machine).memory.breakdown


def test_the_timelines_maximum_is_the_peak_in_every_category(bert):
    line = timeline(bert)
    columns = list(zip(*line.bytes.values(), strict=True))
    peak = peak_bytes([storage.size for storage in bert.storages], bert.events)
    assert line.part == "second step"
    assert max(map(sum, columns)) == sum(columns[line.peak_at]) == peak
    assert {name: column[line.peak_at] for name, column in line.bytes.items() if column[line.peak_at]} == breakdown(
        bert
    )
    assert [name for name, _ in line.phases] == ["forward", "backward", "optimizer"]


def test_an_activation_is_named_with_its_line_and_module(convolutional):
    (row,) = (row for row in at_peak(convolutional) if row.operator == "aten.exp.default")
    assert row.line == f"my_step.py:{BIG_LINE}"
    assert row.category == "activation"
    assert row.bytes == 64 * 500 * 4
    assert any(row.module == "Sequential.*" for row in at_peak(convolutional))


def test_cudnns_workspace_is_listed(convolutional, bert):
    assert [row.operator for row in at_peak(convolutional)].count(WORKSPACE) == 1
    assert WORKSPACE not in {row.operator for row in at_peak(bert)}


def test_repeated_blocks_count_together(bert):
    dense = [row for row in at_peak(bert) if row.module.endswith("layer.*.intermediate.dense")]
    assert {row.category for row in dense} >= {"parameter", "optimizer state"}
    assert {row.storages for row in dense if row.category == "optimizer state"} == {16}  # of 4 layers


def test_phase_peaks_hold_the_peak(bert):
    peaks = phase_peaks(bert)
    assert set(peaks) == {"build", "forward", "backward", "optimizer"}
    assert max(peaks.values()) == find_peak(bert).bytes


@pytest.mark.parametrize("machine", MACHINES)
def test_operators_add_up_to_the_devices_time(bert, machine):
    machine = find_machine(machine)
    explained, seconds = explain(bert, machine), predict_time(bert, machine)
    assert explained.device_seconds == seconds.device_seconds
    assert sum(row.seconds for row in explained.operators) == pytest.approx(seconds.device_seconds)
    assert explained.operators[0].seconds == max(row.seconds for row in explained.operators)
    assert sum(row.calls for row in explained.operators) == sum(
        not bert.kinds[call.kind].is_view for call in bert.calls
    )


# ---------------------------------------------------------------------- constants
def test_constants_list_themselves(bert, convolutional):
    old_with_desktop = find_machine("rtx-3090", cuda="11.3", display=True)
    others = [find_machine("h100"), find_machine("radeon-rx-7900-xtx"), load_profile(PROBED), old_with_desktop]
    machines = [*map(find_machine, MACHINES), *others]
    everywhere = {
        constant.name
        for machine in machines
        for trace in (bert, convolutional)
        for constant in constants_used(trace, machine)
    }
    public = {
        name
        for module in MODULES
        for name in documented(module)
        if not name.startswith("_") and not isinstance(getattr(module, name), str)
    }
    assert public - everywhere == set()


@pytest.mark.parametrize("machine", MACHINES)
def test_every_constant_says_what_it_means_and_where_it_comes_from(bert, machine):
    constants = constants_used(bert, find_machine(machine))
    assert len({constant.name for constant in constants}) == len(constants)
    assert all(constant.meaning and constant.source for constant in constants)


def test_a_constant_counts_where_it_is_used(bert, convolutional):
    def names(trace, machine):
        return {constant.name for constant in constants_used(trace, find_machine(machine))}

    gpu, cpu, metal = names(bert, "rtx-3090"), names(bert, "laptop-16gb"), names(bert, "m3-max")
    assert {"CUDA_CONTEXT_BYTES", "CUDA_USABLE", "KERNEL_SECONDS"} <= gpu - cpu
    assert {"CPU_BASELINE_BYTES", "HOST_USABLE", "CPU_FRESH_BYTES"} <= cpu - gpu
    assert {"METAL_USABLE"} <= metal - gpu - cpu
    assert {"CUDNN_WORKSPACE_BYTES"} <= names(convolutional, "rtx-3090") - gpu
    assert "machine.peak_flops_per_second.fp32" in gpu
    assert "machine.peak_flops_per_second.bf16" not in gpu


# ---------------------------------------------------------------------- any trace
@st.composite
def traces(draw):
    """A trace with any storages, lifetimes and phases."""
    sizes = draw(st.lists(st.integers(0, 100), max_size=30))
    storages = tuple(Storage(size, draw(st.sampled_from(CATEGORIES)), FORWARD, 0, "aten.mm.default") for size in sizes)
    events, alive = [], []
    for index in range(len(sizes)):
        events.append(index)
        alive.append(index)
        while alive and draw(st.booleans()):
            events.append(~alive.pop(draw(st.integers(0, len(alive) - 1))))
    first, second = sorted(draw(st.lists(st.integers(0, len(events)), min_size=2, max_size=2)))
    cuts = sorted(draw(st.lists(st.integers(first, len(events)), max_size=6)))
    phases = [(cut, draw(st.sampled_from((FORWARD, BACKWARD, OPTIMIZER)))) for cut in cuts]
    return Trace(
        target="cuda",
        batch_size=None,
        storages=storages,
        events=tuple(events),
        marks=(first, second, len(events)),
        phase_marks=((0, 0), *phases),
        kinds=(),
        calls=(),
        modules=("",),
        parameters=0,
    )


@given(traces(), st.integers(1, 40))
def test_of_any_trace_the_peak_is_kept_and_every_sum_agrees(trace, points):
    peak, line = find_peak(trace), timeline(trace, points)
    sums = [sum(column) for column in zip(*line.bytes.values(), strict=True)]
    assert peak.bytes == peak_bytes([storage.size for storage in trace.storages], trace.events)
    assert sum(row.bytes for row in at_peak(trace)) == peak.bytes == sum(breakdown(trace).values())
    assert sum(trace.storages[index].size for index in alive_after(trace, peak.position)) == peak.bytes
    assert len(line.positions) <= points
    assert line.positions == sorted(set(line.positions))
    if peak.bytes:
        assert max(sums) == sums[line.peak_at] == peak.bytes
    assert all(peak.bytes >= value for value in phase_peaks(trace).values())
    starts = [start for _, start in line.phases]
    assert starts == sorted(set(starts))
    assert (
        totals(trace)[-1:]
        == [sum(trace.storages[index].size for index in alive_after(trace, len(trace.events)))][: len(trace.events)]
    )


def test_an_empty_trace_is_explained():
    trace = trace_step(lambda device: lambda: None, "cuda")
    explained = explain(trace, find_machine("rtx-3090"))
    assert explained.timeline.peak_at is None
    assert explained.alive_at_peak == explained.operators == []
