"""Time of a matrix product on a GPU's matrix units: tiles that fill whole waves of multiprocessors."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from sslbench.bench.predict.kernel import Product

_TILES = (
    *((256, 128), (128, 256), (128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64)),
    *((128, 32), (64, 32), (128, 16)),
)
"""Rows and columns of the tiles that cuBLAS, cuDNN and CUTLASS have kernels for."""
K_STEP = 32
"""Values that a tile takes of the inner dimension at a time. CUTLASS's usual tile for 2-byte types."""
TILE_FILL_SECONDS = 1e-6
"""Time that a tile of a matrix product takes to fill and drain its pipeline, beside its arithmetic. About two latencies
of memory; an estimate, which the fit of the factors was made with."""
FILLED_TILE = 128 * 128
"""Elements of the tile that `TILE_FILL_SECONDS` is for. 128 x 128; smaller ones share a multiprocessor, and hide each
other's."""
L2_BYTES_PER_CLOCK = 48
"""What a multiprocessor gets of its operands from the L2 cache, bytes a clock. 5120 bytes a clock for 108 of them:
NVIDIA A100 white paper V1.0."""
_SPLITS = (1, 2, 4, 8, 16, 32)
LEAST_SPLIT_K = 256
"""Least length of the parts into which a product with few tiles is split along k. An estimate."""
_LATER_WAVES = 0.5
"""From the third wave on, two tiles share a multiprocessor, and the last wave is cut in halves."""


@dataclass(frozen=True, slots=True)
class MatrixUnits:
    """The matrix units of a device, for one element type."""

    flops_per_second: float
    multiprocessors: int
    clock_hertz: float
    item_bytes: int


@lru_cache(maxsize=1 << 16)
def product_seconds(product: Product, units: MatrixUnits) -> float:
    """Time of a product with the tile and split that take least, arithmetic alone."""
    best = float("inf")
    for (tiles, k), shape in _plans(product, units.multiprocessors):
        best = min(best, _waves(tiles / units.multiprocessors) * _tile_seconds(shape, k, units))
    return product.share * best


def _plans(product: Product, multiprocessors: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(tiles, k of each) and the tile's shape, of every way to cut a product."""
    plans = []
    for rows, columns in _TILES:
        tiles = product.count * ceil(product.m / rows) * ceil(product.n / columns)
        for split in _SPLITS:
            if split > 1 and (product.k < split * LEAST_SPLIT_K or tiles * split > 4 * multiprocessors):
                break
            plans.append(((tiles * split, ceil(product.k / split / K_STEP) * K_STEP), (rows, columns)))
    return plans


def _waves(tiles_each: float) -> float:
    """How many tiles the busiest multiprocessor has, one after the other."""
    return ceil(tiles_each) if tiles_each <= 2 else ceil(tiles_each / _LATER_WAVES) * _LATER_WAVES


def _tile_seconds(shape: tuple[int, int], k: int, units: MatrixUnits) -> float:
    rows, columns = shape
    arithmetic = 2 * rows * columns * units.multiprocessors / units.flops_per_second
    operands = (rows + columns) * units.item_bytes / L2_BYTES_PER_CLOCK / units.clock_hertz
    filled = TILE_FILL_SECONDS * rows * columns / FILLED_TILE
    return k * float((arithmetic**3 + operands**3) ** (1 / 3)) + filled
