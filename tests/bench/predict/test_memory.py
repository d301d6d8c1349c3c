import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.bench.machines import find_machine
from sslbench.bench.predict.capacity import capacity_bytes
from sslbench.bench.predict.memory import breakdown, predict_memory
from sslbench.bench.resolve import resolve_recipe
from sslbench.bench.trace.allocator import peak_bytes
from sslbench.bench.trace.recipes import trace_recipe

GIB = 2**30
RECIPE = resolve_recipe("bert-mini-mlm", {"batch_size": 64})


@pytest.fixture(scope="module")
def trace():
    return trace_recipe(RECIPE, "cuda", (8, 0))


@pytest.fixture(scope="module")
def cpu_trace():
    return trace_recipe(RECIPE, "cpu", (0, 0))


def test_the_breakdown_is_what_is_alive_at_the_peak(trace):
    parts = breakdown(trace)
    assert sum(parts.values()) == peak_bytes([storage.size for storage in trace.storages], trace.events)
    assert parts["parameter"] == 4 * trace.parameters
    assert list(parts.values()) == sorted(parts.values(), reverse=True)


def test_required_is_reserved_and_context(trace):
    memory = predict_memory(trace, find_machine("h200")).memory
    assert memory.required_bytes == memory.peak_reserved_bytes + memory.fixed_overhead_bytes
    assert memory.peak_reserved_bytes >= memory.peak_allocated_bytes
    low, high = memory.interval_bytes
    assert low < memory.required_bytes < high


def test_a_cpu_reserves_nothing(cpu_trace):
    memory = predict_memory(cpu_trace, find_machine("laptop-16gb")).memory
    assert memory.peak_reserved_bytes is None
    assert memory.required_bytes == memory.peak_allocated_bytes + memory.fixed_overhead_bytes


@pytest.mark.parametrize(
    ("memory_gib", "verdict"), [(100, "fits"), (0.5, "does-not-fit"), (0.01, "does-not-fit"), (2, "does-not-fit")]
)
def test_verdicts_far_from_the_border(trace, memory_gib, verdict):
    machine = find_machine("rtx-4090", memory_bytes=int(memory_gib * GIB))
    assert predict_memory(trace, machine).verdict == verdict


def test_a_machine_with_less_than_a_process_takes_leaves_no_doubt(cpu_trace):
    prediction = predict_memory(cpu_trace, find_machine("laptop-16gb", memory_bytes=2**20))
    assert (prediction.verdict, prediction.probability_fits) == ("does-not-fit", 0)


def test_the_border_is_tight(trace):
    needed = predict_memory(trace, find_machine("rtx-4090")).memory.required_bytes
    prediction = predict_memory(trace, find_machine("rtx-4090", memory_bytes=int(needed / 0.985) + 1))
    assert prediction.verdict == "tight"
    assert 0.05 < prediction.probability_fits < 0.95


def test_unified_memory_spills_before_it_fails(trace):
    needed = predict_memory(trace, find_machine("h200")).memory.required_bytes
    assert predict_memory(trace, find_machine("m3-max", memory_bytes=int(needed * 1.05))).verdict == "spills"


@settings(max_examples=25)
@given(small=st.floats(0.2, 40), more=st.floats(0, 10))
def test_more_memory_never_makes_it_less_likely_to_fit(trace, small, more):
    less_memory, more_memory = (
        predict_memory(trace, find_machine("rtx-4090", memory_bytes=int(size * GIB))) for size in (small, small + more)
    )
    assert less_memory.probability_fits <= more_memory.probability_fits


def test_cuda_sees_less_than_nvidia_smi():
    # PyTorch's out-of-memory messages: "23.69 GiB total capacity" on an RTX 3090, 14.75 on a T4, 39.59 on an A100 40 GB
    for name, gib in {"rtx-3090": 23.69, "t4": 14.75, "a100-40gb": 39.59}.items():
        assert capacity_bytes(find_machine(name)) / GIB == pytest.approx(gib, rel=0.01)
