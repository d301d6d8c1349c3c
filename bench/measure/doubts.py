"""What in the state of a machine makes a measurement doubtful, in words that say what to do. Healthy: nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from sslbench.bench.measured import GpuState, State
from sslbench.bench.quantities import Memory

_BUSY_PROCESSOR = 0.1
_BUSY_GPU = 0.05
_HELD_BACK = 0.01  # of the time of the timed steps
_FEW_FAULTS = 10  # a page of a library that is met late


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a warning needs to know beside the record's `State` and `Memory`."""

    on_gpu: bool
    threads: int | None
    usable_cores: int
    """Physical cores that the process may run on."""
    total_cores: int
    """Physical cores of the machine."""
    timed_seconds: float
    """How long the timed steps took in all."""
    lowest_clocks: bool
    """The governor keeps the cores at their lowest clock."""
    heat_events: int
    """How often heat slowed cores down, from before the worker started to the end of the timed steps."""
    on_battery: bool


def doubts(state: State, memory: Memory, around: Surroundings) -> list[str]:
    """Warnings of a measurement.

    Args:
        state: of the machine.
        memory: as it was measured.
        around: what else is needed.
    """
    found = [*_of_processor(state, around), *_of_limits(state, around), *_of_memory(state, memory)]
    if state.gpu_after is not None:
        found += _of_gpu(state.gpu_after)
    return found


def _of_processor(state: State, around: Surroundings) -> Iterator[str]:
    share = state.others_cpu_share
    ours = min(state.cpu_limit or around.usable_cores, around.usable_cores) / around.total_cores
    # In a container on a large machine others may be busy on cores that nobody here could use.
    if share is not None and share >= _BUSY_PROCESSOR and share + ours > 1:
        yield (
            f"other programs kept {share:.0%} of the processor busy while steps were timed: end them, and measure again"
        )
    if around.lowest_clocks:
        yield (
            "the frequency governor powersave keeps cores at their lowest clock: "
            "sudo cpupower frequency-set -g performance"
        )
    if around.heat_events:
        yield "heat slowed the processor down during the measurement: let it cool, or use fewer threads"
    if around.on_battery:
        yield "the machine ran on its battery, which lowers clocks: plug it in, and measure again"


def _of_limits(state: State, around: Surroundings) -> Iterator[str]:
    held = state.throttled_seconds
    if held is not None and held > _HELD_BACK * around.timed_seconds:
        limit = f" of {state.cpu_limit:g} cores" if state.cpu_limit else ""
        yield (
            f"the control group's CPU limit{limit} held the processors back for {held:.2g} s, all together, in "
            f"{around.timed_seconds:.2g} s of timed steps: raise it, or set OMP_NUM_THREADS to fewer threads"
        )
    if around.on_gpu or around.threads is None:
        return
    cores = min(state.cpu_limit or around.usable_cores, around.usable_cores)
    if state.cpu_limit is not None and around.threads > max(state.cpu_limit, 1):
        yield (
            f"{around.threads} threads shared the {state.cpu_limit:g} cores that the control group allows: "
            f"set OMP_NUM_THREADS={max(int(state.cpu_limit), 1)}"
        )
    elif around.threads < cores / 2:
        yield f"computed with {around.threads} of {cores:g} cores: unset OMP_NUM_THREADS, or set it to {cores:g}"


def _of_memory(state: State, memory: Memory) -> Iterator[str]:
    if state.swap_used_bytes and (memory.major_page_faults or 0) > _FEW_FAULTS:
        yield (
            f"pages were read back from the disk ({memory.major_page_faults} times in the memory pass) while swap was "
            "in use: free memory, or lower --batch-size"
        )


def _of_gpu(gpu: GpuState) -> Iterator[str]:
    used, processes = gpu.other_utilization, gpu.other_processes
    who = "another process" if (processes or 1) == 1 else f"{processes} other processes"
    if used is not None and used >= _BUSY_GPU:
        yield f"{who} used {used:.0%} of the GPU while steps were timed: end it, and measure again (nvidia-smi)"
    elif used is None and processes:
        yield f"{who} held the GPU, and NVML does not tell whether it computed: end it, and measure again (nvidia-smi)"
    reasons = gpu.throttle_reasons
    if any(reason.startswith("heat") for reason in reasons):
        degrees = f" ({gpu.temperature_celsius} C)" if gpu.temperature_celsius is not None else ""
        yield f"heat{degrees} held the GPU's clocks down: see to its cooling, and measure again"
    if "power limit" in reasons:
        watts = f" of {gpu.power_limit_watts:g} W" if gpu.power_limit_watts is not None else ""
        yield f"the power limit{watts} held the GPU's clocks down: compare only with runs under the same limit"
    if "power brake" in reasons or ("hardware slowdown" in reasons and not any(r.startswith("heat") for r in reasons)):
        yield "the GPU's hardware held its clocks down (hardware slowdown): see to its power supply and cooling"
    if "application clocks" in reasons:
        yield "the GPU's clocks are set by hand: sudo nvidia-smi -rac lifts application clocks, -rgc locked ones"
