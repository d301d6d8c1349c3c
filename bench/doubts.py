"""What makes a prediction for a machine doubtful."""

from sslbench.bench.predict.communication import fabric_of
from sslbench.bench.recipe import Recipe
from sslbench.hardware_profiles.schema import Machine

_COMPILED = "torch.compile: memory is predicted as of the eager step; a compiled one often needs less"
_COMPILED_ON_CPU = (
    "torch.compile on a processor: predicted as eager; a compiled step needs less time, and often less memory"
)


def warnings_of(recipe: Recipe, machine: Machine) -> list[str]:
    """What makes a prediction for the machine doubtful."""
    device = machine.device
    warnings = []
    if machine.device_count > 1 and fabric_of(machine) is None:
        warnings.append(_one_of(machine))
    if device.kind in ("rocm", "mps"):
        warnings.append(f"{machine.title}: kernels of {device.kind} are predicted as CUDA's, with a wider interval")
    if recipe.compile:
        warnings.append(_COMPILED_ON_CPU if device.kind == "cpu" else _COMPILED)
    if recipe.precision in ("bf16", "fp16") and recipe.precision not in device.peak_flops_per_second:
        warnings.append(f"{machine.title} has no fast {recipe.precision}: predicted at its fp32 rate")
    return warnings


def _one_of(machine: Machine) -> str:
    """Why a machine with several devices is predicted as one of them."""
    if machine.links is None:
        reason = "what connects them is not known: say --link, such as 32GB/s"
    else:
        reason = f"more than {machine.links.devices} are several machines: say --network, such as 200GB/s of each"
    return f"{machine.title}: one of its {machine.device_count} devices, without communication: {reason}"
