"""What one multiprocessor computes in one clock, by GPU generation; what a driver leaves of the memory.

FLOP count multiplications and additions, dense (no structured sparsity), accumulating in fp32 (int8: in int32).
The peak of a card is `rate * multiprocessors * boost clock`.

Sources, all by NVIDIA: Tesla P100 white paper WP-08019-001; Tesla V100 white paper WP-08608-001; Turing white paper
WP-09183-001; A100 white paper V1.0; Ampere GA102 white paper V2.0; Ada white paper V2.02; H100 white paper V1.04; RTX
Blackwell white paper V1.1. By AMD: RDNA 3 ISA reference (WMMA) and "How to accelerate AI applications on RDNA 3 using
WMMA"; RDNA 4 ISA reference; CDNA 4 architecture white paper.

Known limitations:
    A GeForce board runs above its rated boost clock when power and temperature allow, so a measured matrix product may
    exceed the peak of this table by up to `GEFORCE_CLOCK_HEADROOM` (an RTX 4090 is published at 172 TFLOP/s of 165).
"""

from dataclasses import dataclass
from types import MappingProxyType

from sslbench.hardware_profiles.schema import DType

GEFORCE_CLOCK_HEADROOM = 1.06
"""Bound on how far published matrix products, rounded to whole TFLOP/s, exceed the rated peak of a GeForce card
(mli/transformers-benchmarks)."""

HALVED_ON_GEFORCE: frozenset[DType] = frozenset({"fp16", "bf16", "tf32"})
"""Types whose fp32 accumulation runs at half rate on GeForce cards from Turing on; int8 is not halved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """Rates of one GPU generation."""

    architecture: str
    lanes: int
    """fp32 lanes a multiprocessor (CUDA cores; for AMD the stream processors of a compute unit)."""
    fp32: int
    """FLOP a multiprocessor and clock outside the matrix units."""
    matrix: dict[DType, int]
    """FLOP a multiprocessor and clock in the matrix units, at full rate."""
    matrix_clock_share: float = 1.0
    """Clock of the matrix units over the boost clock."""
    halved_on_geforce: bool = False
    memory_share: float = 1.0
    """What nvidia-smi reports as total over the nominal size."""
    source: str


_GA10X: dict[DType, int] = {"fp16": 1024, "bf16": 1024, "tf32": 512, "int8": 2048}

# By CUDA compute capability. Blackwell 10.x is missing on purpose: the database counts only half of a B200.
NVIDIA = MappingProxyType(
    {
        (6, 0): Generation(architecture="pascal", lanes=64, fp32=128, matrix={}, source="WP-08019-001"),
        (6, 1): Generation(architecture="pascal", lanes=128, fp32=256, matrix={}, source="WP-08019-001"),
        (7, 0): Generation(architecture="volta", lanes=64, fp32=128, matrix={"fp16": 1024}, source="WP-08608-001"),
        (7, 5): Generation(
            architecture="turing",
            lanes=64,
            fp32=128,
            matrix={"fp16": 1024, "int8": 2048},
            halved_on_geforce=True,
            source="WP-09183-001",
        ),
        (8, 0): Generation(
            architecture="ampere",
            lanes=64,
            fp32=128,
            matrix={"fp16": 2048, "bf16": 2048, "tf32": 1024, "int8": 4096},
            source="A100 white paper V1.0",
        ),
        (8, 6): Generation(
            architecture="ampere",
            lanes=128,
            fp32=256,
            matrix=_GA10X,
            halved_on_geforce=True,
            source="Ampere GA102 white paper V2.0",
        ),
        (8, 9): Generation(
            architecture="ada",
            lanes=128,
            fp32=256,
            matrix=_GA10X,
            halved_on_geforce=True,
            memory_share=24564 / 24576,  # RTX 4090: 24564 MiB of 24 GiB
            source="Ada white paper V2.02",
        ),
        (9, 0): Generation(
            architecture="hopper",
            lanes=128,
            fp32=256,
            matrix={"fp16": 4096, "bf16": 4096, "tf32": 2048, "int8": 8192},
            matrix_clock_share=1830 / 1980,  # table 2: tensor cores at 1830 MHz, the rest at 1980 MHz
            memory_share=81559 / 81920,  # H100: 81559 MiB of 80 GiB
            source="H100 white paper V1.04",
        ),
        (12, 0): Generation(
            architecture="blackwell",
            lanes=128,
            fp32=256,
            matrix=_GA10X,
            halved_on_geforce=True,
            memory_share=32607 / 32768,  # RTX 5090: 32607 MiB of 32 GiB
            source="RTX Blackwell white paper V1.1",
        ),
    }
)

# By the database's name of the architecture. CDNA 3 is missing on purpose (the database doubles its bandwidth), CDNA 2
# too (one card is two devices), RDNA 2 and older have no matrix units that PyTorch uses.
AMD = MappingProxyType(
    {
        "RDNA 3.0": Generation(
            architecture="rdna3",
            lanes=64,
            fp32=256,
            matrix={"fp16": 512, "bf16": 512, "int8": 512},
            source="RDNA 3 ISA reference, WMMA",
        ),
        "RDNA 4.0": Generation(
            architecture="rdna4",
            lanes=64,
            fp32=256,
            matrix={"fp16": 1024, "bf16": 1024, "int8": 2048},
            source="RDNA 4 ISA reference, WMMA",
        ),
        "CDNA 4.0": Generation(
            architecture="cdna4",
            lanes=64,
            fp32=256,
            matrix={"fp16": 4096, "bf16": 4096, "int8": 8192},
            source="CDNA 4 architecture white paper",
        ),
    }
)

# Cards whose datasheet states another dense matrix rate than their generation's, as a share of it.
MATRIX_SHARE = MappingProxyType(
    {
        "a10g": 0.5,  # 70 of 140 TFLOP/s, NVIDIA A10G datasheet
        "l40": 0.5,  # 181 of 362 TFLOP/s, NVIDIA L40 datasheet
        "l40g": 0.5,
        "l40-cnx": 0.5,
        "h100-nvl-94gb": 0.936,  # 835 TFLOP/s, NVIDIA H100 NVL product brief: a lower clock at 400 W
        "h200-nvl": 0.936,  # 835 TFLOP/s, NVIDIA H200 datasheet
    }
)

INLINE_ECC_SHARE = 15 / 16
"""GDDR5 and GDDR6 hold their ECC bits in the same memory: a T4 shows 15360 of 16384 MiB, an A10 23028 of 24576.
On by default on server cards only; HBM and GDDR7 carry the bits beside the data."""

NVLINK_BYTES_PER_SECOND = MappingProxyType({(6, 0): 80e9, (7, 0): 150e9, (8, 0): 300e9, (9, 0): 450e9})
"""NVLink of an SXM module to all others, in one direction, by compute capability. NVIDIA's datasheets of P100, V100,
A100 and H100 name both directions together: 160, 300, 600 and 900 GB/s."""
PCIE_BYTES_PER_SECOND_AND_LANE = MappingProxyType({3: 0.985e9, 4: 1.969e9, 5: 3.938e9})
"""PCI Express by generation: 8, 16 and 32 GT/s in 128b/130b."""
