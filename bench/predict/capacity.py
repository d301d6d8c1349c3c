"""What a machine has for a step, and what its memory holds besides: every constant with where it comes from."""

from sslbench.hardware_profiles.schema import Figure, Machine

MIB = 2**20

CUDA_CONTEXT_BYTES = 600 * MIB
"""CUDA context with the kernels that a training step loads, outside the allocator (lazy loading, CUDA 11.7 and newer).

0.47 GiB after the first tensor on an A100 (torch 2.1.1+cu121; stas00/ml-engineering, training/performance/README.md);
618 MiB after training GPT-2 on an A10G (huggingface/optimum-benchmark CI: device memory less the reserved peak).
"""
ROCM_CONTEXT_BYTES = 430 * MIB
"""Context of a process on an AMD GPU, outside the allocator.

423 MiB after training GPT-2 on an Instinct MI210, ROCm 5.7 (huggingface/optimum-benchmark CI: device memory less the
reserved peak).
"""
CUDA_USABLE = 0.985
"""What cudaMemGetInfo calls total, of what nvidia-smi calls total.

RTX 3090: 23.69 of 24.00 GiB; T4: 14.75 of 15.00; A100 40 GB: 39.59 of 40.00 (PyTorch's out-of-memory messages).
"""
METAL_USABLE = 0.75
"""Metal's recommended working set, of the unified memory. Apple's recommendedMaxWorkingSetSize on machines with more
than 36 GB, as PyTorch's mps backend reports it."""
HOST_USABLE = 0.92
"""What an operating system without much else to do leaves of a host's memory. An estimate."""
CPU_BASELINE_BYTES = 380 * MIB
"""Resident size of a process that has imported torch and one transformers model, and runs its kernels. 344 MiB after
the imports; 374 to 388 MiB more than the tensors in inference (CPU build, Linux, 1 and 2 threads)."""
CPU_HEAP_BYTES = 120 * MIB
"""What the C library's heap keeps of a training step's freed tensors. 10 to 300 MiB over eleven steps of ResNet-18,
BERT and a small Llama, without relation to the peak; the median."""


_USABLE = {"dedicated": CUDA_USABLE, "unified": METAL_USABLE, "host": HOST_USABLE}


def limited(machine: Machine, limit_bytes: int) -> Machine:
    """The machine with so much less memory that a step can have `limit_bytes`, if it has more."""
    device = machine.device
    if capacity_bytes(machine) <= limit_bytes:
        return machine
    taken = 0 if device.in_use_bytes is None else device.in_use_bytes.value
    value = (limit_bytes + taken) / _USABLE[device.memory_kind]
    memory = Figure(value=value, basis="derived", source="the memory limit that was asked for, made whole")
    return machine.model_copy(update={"device": device.model_copy(update={"memory_bytes": memory})})


def capacity_bytes(machine: Machine) -> int:
    """Memory that a step can have on one device of the machine."""
    device = machine.device
    usable = _USABLE[device.memory_kind]
    taken = 0 if device.in_use_bytes is None else device.in_use_bytes.value
    return max(0, int(device.memory_bytes.value * usable - taken))


def overhead_bytes(machine: Machine, *, trains: bool) -> int:
    """Memory taken outside the allocator: the driver's context, or on a CPU the process beside the step's tensors."""
    device = machine.device
    if device.kind in ("cpu", "mps"):
        return CPU_BASELINE_BYTES + (CPU_HEAP_BYTES if trains else 0)
    if device.context_bytes is not None:
        return int(device.context_bytes.value)
    return ROCM_CONTEXT_BYTES if device.kind == "rocm" else CUDA_CONTEXT_BYTES
