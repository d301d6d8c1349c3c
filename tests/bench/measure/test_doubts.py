import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measure.doubts import Surroundings, doubts
from sslbench.bench.measured import GpuState, State
from sslbench.bench.quantities import Memory

QUIET = Surroundings(
    on_gpu=False,
    threads=8,
    usable_cores=8,
    total_cores=8,
    timed_seconds=10.0,
    lowest_clocks=False,
    heat_events=0,
    on_battery=False,
)
ON_GPU = replace(QUIET, on_gpu=True, threads=1)


def gpu(**fields):
    return State(gpu_after=GpuState(other_processes=0, other_utilization=0.0).model_copy(update=fields))


@pytest.mark.parametrize(
    ("state", "memory", "around"),
    [
        (State(), Memory(), QUIET),
        (State(governor="powersave"), Memory(), QUIET),
        (State(load_average=30.0), Memory(), QUIET),  # it decays over minutes: others' share says it better
        (State(others_cpu_share=0.09), Memory(), QUIET),
        (
            State(others_cpu_share=0.6, cpu_limit=4),
            Memory(),
            replace(QUIET, threads=4, total_cores=64, usable_cores=64),
        ),
        (State(cpu_limit=8, throttled_seconds=0.01), Memory(), QUIET),
        (State(swap_used_bytes=2**30), Memory(major_page_faults=3), QUIET),
        (State(swap_used_bytes=0), Memory(major_page_faults=300), QUIET),
        (gpu(throttle_reasons=["idle"]), Memory(), ON_GPU),
        (gpu(other_processes=3, other_utilization=0.01), Memory(), ON_GPU),
        (State(), Memory(), replace(QUIET, threads=4)),
    ],
)
def test_no_word_of_what_is_healthy(state, memory, around):
    assert doubts(state, memory, around) == []


@pytest.mark.parametrize(
    ("state", "memory", "around", "warning"),
    [
        (State(others_cpu_share=0.3), Memory(), QUIET, r"other programs kept 30% of the processor busy .*: end them"),
        (State(others_cpu_share=0.97, cpu_limit=4), Memory(), replace(QUIET, threads=4, total_cores=64), "kept 97%"),
        (State(governor="powersave"), Memory(), replace(QUIET, lowest_clocks=True), "powersave .*cpupower"),
        (State(), Memory(), replace(QUIET, heat_events=2), "heat slowed the processor down"),
        (State(), Memory(), replace(QUIET, on_battery=True), "on its battery.*: plug it in"),
        (State(cpu_limit=8, throttled_seconds=2.0), Memory(), QUIET, r"limit of 8 cores held .* 2 s, .* 10 s of timed"),
        (State(cpu_limit=2.5), Memory(), QUIET, r"8 threads shared the 2.5 cores .*OMP_NUM_THREADS=2"),
        (State(), Memory(), replace(QUIET, threads=1), "computed with 1 of 8 cores: unset OMP_NUM_THREADS"),
        (State(swap_used_bytes=2**30), Memory(major_page_faults=300), QUIET, r"300 times .* swap .*: free memory"),
        (gpu(other_processes=1, other_utilization=0.31), Memory(), ON_GPU, "^another process used 31% of the GPU"),
        (gpu(other_processes=2, other_utilization=0.31), Memory(), ON_GPU, "^2 other processes used 31% of the GPU"),
        (gpu(other_processes=0, other_utilization=0.31), Memory(), ON_GPU, "^another process used 31% of the GPU"),
        (gpu(other_processes=1, other_utilization=None), Memory(), ON_GPU, "held the GPU, .*nvidia-smi"),
        (
            gpu(throttle_reasons=["hardware slowdown", "heat (hardware)"], temperature_celsius=93),
            Memory(),
            ON_GPU,
            r"^heat \(93 C\) held the GPU's clocks down",
        ),
        (gpu(throttle_reasons=["power limit"], power_limit_watts=450.0), Memory(), ON_GPU, "power limit of 450 W"),
        (gpu(throttle_reasons=["power brake"]), Memory(), ON_GPU, "hardware slowdown.*power supply"),
        (gpu(throttle_reasons=["application clocks"]), Memory(), ON_GPU, "set by hand: sudo nvidia-smi -rac"),
    ],
)
def test_each_doubt_says_what_to_do(state, memory, around, warning):
    [found] = doubts(state, memory, around)
    assert re.search(warning, found)


@given(st.floats(0, 1), st.floats(0.1, 64), st.integers(1, 64))
def test_others_disturb_only_where_the_cores_do_not_suffice_for_both(share, limit, cores):
    around = replace(QUIET, threads=None, usable_cores=cores, total_cores=cores)
    found = doubts(State(others_cpu_share=share, cpu_limit=limit), Memory(), around)
    assert bool(found) == (share >= 0.1 and share + min(limit, cores) / cores > 1)
