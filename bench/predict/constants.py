"""The constants that enter a prediction, read from where they are defined: nothing about them is written twice.

A constant lists itself if it is a number with a docstring, at the top of one of `MODULES`: its name's ending gives the
unit, the docstring's first sentence what it means, the rest where it comes from. The name's beginning says where it
counts (`_COUNTS`: `CPU_`, `CUDA_`, ...); any other counts everywhere. A table by kind of device gives its own.
"""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from types import ModuleType

from sslbench.bench.explanation import ConstantUsed
from sslbench.bench.predict import (
    capacity,
    convolution,
    cpu,
    efficiency,
    gemm,
    gpu,
    gpu_kernels,
    interval,
    memory,
    power,
    time,
    workspace,
)
from sslbench.bench.predict.cpu_kernels import operator_work
from sslbench.bench.predict.gpu_kernels import operator_kernels
from sslbench.bench.predict.peak import peak_flops
from sslbench.bench.trace.events import OperatorKind, Trace
from sslbench.hardware_profiles.schema import Device, Figure, Machine

MODULES: tuple[ModuleType, ...] = (
    capacity,
    workspace,
    memory,
    time,
    efficiency,
    gpu,
    gemm,
    gpu_kernels,
    convolution,
    cpu,
    power,
    interval,
)
_UNITS = {
    "JOULES_PER_BYTE": "J/B",
    "BYTES_PER_SECOND": "B/s",
    "FLOPS_PER_SECOND": "FLOP/s",
    "BYTES": "B",
    "SECONDS": "s",
}
_LINK = re.compile(r"https?://\S+[^\s.,;)]")
_Applies = Callable[[Trace, Machine], bool]


def constants_used(trace: Trace, machine: Machine) -> list[ConstantUsed]:
    """Every constant behind a prediction: the machine's figures, then the models' own numbers."""
    return [*_figures(trace, machine), *_of_modules(trace, machine), *_factors(trace, machine)]


# ---------------------------------------------------------------------- the machine
def _figures(trace: Trace, machine: Machine) -> Iterator[ConstantUsed]:
    device = machine.device
    yield _figure("memory_bytes", "memory that the driver reports", "B", device.memory_bytes)
    if device.context_bytes is not None:
        yield _figure("context_bytes", "context of a process, outside the allocator", "B", device.context_bytes)
    if device.in_use_bytes is not None:
        yield _figure("in_use_bytes", "memory that others hold", "B", device.in_use_bytes)
    bandwidth = device.memory_bandwidth_bytes_per_second
    yield _figure("memory_bandwidth_bytes_per_second", "memory bandwidth", "B/s", bandwidth)
    if device.l2_cache_bytes is not None and device.kind != "cpu":
        yield _figure("l2_cache_bytes", "L2 cache", "B", device.l2_cache_bytes)
    used = {peak_flops(kind, device, trace) for kind in trace.kinds if kind.flops}
    for dtype, figure in device.peak_flops_per_second.items():
        if figure.value in used:
            used.discard(figure.value)  # types that share a rate are listed once
            yield _figure(f"peak_flops_per_second.{dtype}", f"dense peak of {dtype}", "FLOP/s", figure)
    yield _figure("launch_seconds", "time between two small operators", "s", device.launch_seconds)


def _figure(name: str, meaning: str, unit: str, figure: Figure) -> ConstantUsed:
    return ConstantUsed(
        name=f"machine.{name}",
        value=figure.value,
        unit=unit,
        meaning=meaning,
        source=f"{figure.basis}: {figure.source}",
    )


# ---------------------------------------------------------------------- the models' numbers
def _on_gpu(trace: Trace, machine: Machine) -> bool:
    return machine.device.kind != "cpu"


def _on_cpu(trace: Trace, machine: Machine) -> bool:
    return machine.device.kind == "cpu"


def _convolves(trace: Trace, machine: Machine) -> bool:
    return _on_gpu(trace, machine) and any("convolution" in kind.name for kind in trace.kinds)


def _holds_power(trace: Trace, machine: Machine) -> bool:
    return machine.device.kind == "cuda" and machine.device.power_watts is not None


_COUNTS: dict[str, _Applies] = {
    "CUDA_CONTEXT_BYTES": lambda trace, machine: machine.device.kind == "cuda" and not machine.device.context_bytes,
    "CUDA_CONTEXT_SIGMA_": lambda trace, machine: _on_gpu(trace, machine) and not machine.device.context_bytes,
    "EAGER_CONTEXT_": lambda trace, machine: machine.device.context_bytes is not None,
    "DESKTOP_": lambda trace, machine: machine.device.in_use_bytes is not None,
    "ROCM_": lambda trace, machine: machine.device.kind == "rocm",
    "CUDA_USABLE": lambda trace, machine: machine.device.memory_kind == "dedicated",
    "METAL_USABLE": lambda trace, machine: machine.device.memory_kind == "unified",
    "HOST_USABLE": lambda trace, machine: machine.device.memory_kind == "host",
    "CPU_BASELINE_": lambda trace, machine: machine.device.kind in ("cpu", "mps"),
    "CUDNN_": _convolves,
    "ALLOCATED_": _on_gpu,
    **dict.fromkeys(("IDLE_POWER_", "TRAFFIC_JOULES_", "LEAST_CLOCK"), _holds_power),
    "WARP_PRODUCTS": lambda trace, machine: machine.device.compute_capability in ((9, 0), (10, 0)),
    "FULL_RATE_": lambda trace, machine: _on_gpu(trace, machine) and machine.device.kind != "mps",
    "WIDE_MEMORY_": lambda trace, machine: _on_wide_memory(machine),
    "HALF_ON_WIDE_MEMORY": lambda trace, machine: _on_wide_memory(machine),
    **dict.fromkeys(("FEW_CHANNELS", "DEPTHWISE_", "FULL_PRECISION_", "WINOGRAD"), _convolves),
    "LANES_": _on_gpu,
    **dict.fromkeys(("CUDA_", "CUBLAS_", "FRAGMENTATION_"), _on_gpu),
    **dict.fromkeys(("BANDWIDTH_", "L2_", "KERNEL_", "MEMORY_LATENCY_", "VIEW_", "GENERATED_"), _on_gpu),
    **dict.fromkeys(("LAYER_NORM_", "ATTENTION_", "PLANE_"), _on_gpu),
    **dict.fromkeys(("TILE_", "FILLED_TILE", "K_STEP", "LEAST_SPLIT_"), _on_gpu),
    "CPU_PROBED_": lambda trace, machine: _on_cpu(trace, machine) and cpu.is_probed(machine.device),
    "CPU_NOT_PROBED_": lambda trace, machine: _on_cpu(trace, machine) and not cpu.is_probed(machine.device),
    "CPU_FRESH_BYTES_PER_SECOND": lambda trace, machine: _on_cpu(trace, machine) and not cpu.is_probed(machine.device),
    "CPU_": _on_cpu,
}
"""Where a constant counts, by the beginning of its name; the first that matches."""


def _on_wide_memory(machine: Machine) -> bool:
    return machine.device.kind != "cpu" and gpu.GPU(machine.device).wide_memory


def _of_modules(trace: Trace, machine: Machine) -> Iterator[ConstantUsed]:
    for module in MODULES:
        for name, text in documented(module).items():
            if name.startswith("_"):
                continue  # tables, of which an operator takes its entry
            counts = next((rule for start, rule in _COUNTS.items() if name.startswith(start)), None)
            value = getattr(module, name)
            if isinstance(value, dict):
                value = value.get(machine.device.kind)
            if isinstance(value, int | float) and (counts is None or counts(trace, machine)):
                yield _constant(name, float(value), text, module)


def _constant(name: str, value: float, text: str, module: ModuleType) -> ConstantUsed:
    meaning, source = _sentences(text)
    return ConstantUsed(
        name=name,
        value=value,
        unit=next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), ""),
        meaning=meaning,
        source=source or f"not stated in {module.__name__}",
    )


def _sentences(text: str) -> tuple[str, str]:
    """The first sentence, and the rest without the word `Source:`."""
    first, _, rest = text.partition(". ")
    return first.removesuffix("."), rest.removeprefix("Source: ").removesuffix(".")


@cache
def documented(module: ModuleType) -> dict[str, str]:
    """Docstrings of a module's constants by name, each on one line (`NAME = ...` and a string below it)."""
    body = ast.parse(inspect.getsource(module)).body
    found = {}
    for statement, after in pairwise(body):
        match statement, after:
            case (
                ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ) if name.isupper():
                found[name] = " ".join(text.split())
    return found


# ---------------------------------------------------------------------- kernels
def _factors(trace: Trace, machine: Machine) -> Iterator[ConstantUsed]:
    kinds = [kind for kind in trace.kinds if not kind.is_view]
    if machine.device.kind == "cpu":
        yield from _on_processor(kinds, machine.device)
        return
    source = f"fitted on {', '.join(_LINK.findall(efficiency.__doc__ or ''))}"
    for family in sorted({kernel.family for kind in kinds for kernel in operator_kernels(kind)}):
        yield from _family_factors(family, efficiency.gpu_reach(family)._asdict(), source)


def _on_processor(kinds: list[OperatorKind], device: Device) -> Iterator[ConstantUsed]:
    """Usual factors; of a machine that was probed they follow from its own kernels, which its profile lists."""
    if cpu.is_probed(device):
        return
    source = documented(cpu)["_USUAL"]
    for kernel in sorted({work.kernel for kind in kinds if (work := operator_work(kind))}):
        yield from _family_factors(kernel.replace("_", " "), {"ideal": cpu.usual_factor(kernel)}, source)


_FACTOR_MEANINGS = {
    "ideal": "times its ideal time",
    "arithmetic": "times its ideal time for arithmetic",
    "instructions": "instructions of a lane for an element",
    "passes": "times that its data goes through memory",
}


def _family_factors(family: str, factors: dict[str, float], source: str) -> Iterator[ConstantUsed]:
    for part, value in factors.items():
        if value:
            yield ConstantUsed(
                name=f"factor.{family.replace(' ', '-')}.{part}",
                value=value,
                unit="",
                meaning=f"{family}: {_FACTOR_MEANINGS[part]}",
                source=source,
            )
