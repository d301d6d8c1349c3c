"""Resident bytes of ONNX Runtime's CPU arena over the first two steps, from the buffers of a step.

The arena is the runtime's BFC allocator (onnxruntime/core/framework/bfc_arena.cc): sizes are rounded to 256 bytes, the
smallest free chunk that is large enough is taken and split where it is twice as large, neighbours join when freed,
regions are asked from the system in powers of two from 1 MiB on and are kept. Memory that nobody wrote to is not
resident.

The first step allocates each buffer on its own. From the second on, the memory pattern of the first holds them: one
block with fixed places (onnxruntime/core/framework/mem_pattern_planner.h). It rarely fits a gap that the first step
left, so that both stay resident. Kernels' scratch memory is never part of the pattern, and outputs are none of the
arena's: they are bound to memory that the caller has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sslbench.bench.trace.onnx_plan import Buffer, moments

ALIGNMENT = 256
FIRST_REGION_BYTES = 2**20
LARGEST_DOUBLING_BYTES = 2**30
KEPT_WHOLE_BYTES = 128 * 2**20
"""A chunk is split, too, where more than this would be wasted (`max_dead_bytes_per_chunk`)."""
PAGE_BYTES = 4096


@dataclass(slots=True)
class _Chunk:
    start: int
    size: int
    is_free: bool = True


@dataclass(slots=True)
class _Region:
    size: int
    chunks: list[_Chunk]
    """In the order of their addresses."""
    touched: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
    """Whether each page was written to."""


@dataclass(slots=True)
class Arena:
    """A model of the arena; `allocate` gives the handle that `free` takes."""

    regions: list[_Region] = field(default_factory=list)
    _next_bytes: int = FIRST_REGION_BYTES

    def touched_bytes(self, smaller_than: int | None = None) -> int:
        """What of it is resident; of regions below a size only, where one is given."""
        return sum(
            int(region.touched.sum()) * PAGE_BYTES
            for region in self.regions
            if smaller_than is None or region.size < smaller_than
        )

    def allocate(self, size: int) -> tuple[_Region, _Chunk]:
        """A chunk of `size` bytes, which is written to."""
        rounded = max(1, -(-size // ALIGNMENT)) * ALIGNMENT
        region, chunk = self._best_fit(rounded) or self._extend(rounded)
        chunk.is_free = False
        if chunk.size >= 2 * rounded or chunk.size - rounded >= KEPT_WHOLE_BYTES:
            rest = _Chunk(chunk.start + rounded, chunk.size - rounded)
            region.chunks.insert(region.chunks.index(chunk) + 1, rest)
            chunk.size = rounded
        region.touched[chunk.start // PAGE_BYTES : -(-(chunk.start + size) // PAGE_BYTES)] = True
        return region, chunk

    def free(self, handle: tuple[_Region, _Chunk]) -> None:
        """Give a chunk back; it joins its free neighbours."""
        region, chunk = handle
        chunk.is_free = True
        index = region.chunks.index(chunk)
        for left in (index, index - 1):
            pair = region.chunks[max(left, 0) : left + 2]
            if len(pair) == 2 and pair[0].is_free and pair[1].is_free:
                pair[0].size += pair[1].size
                del region.chunks[left + 1]

    def _best_fit(self, size: int) -> tuple[_Region, _Chunk] | None:
        fitting = (
            (region, chunk)
            for region in self.regions
            for chunk in region.chunks
            if chunk.is_free and chunk.size >= size
        )
        return min(fitting, key=lambda pair: pair[1].size, default=None)

    def _extend(self, size: int) -> tuple[_Region, _Chunk]:
        grown = False
        while size > self._next_bytes:
            self._next_bytes *= 2
            grown = True
        chunk = _Chunk(0, self._next_bytes)
        pages = np.zeros(-(-self._next_bytes // PAGE_BYTES), dtype=np.bool_)
        region = _Region(self._next_bytes, [chunk], pages)
        if not grown and self._next_bytes < LARGEST_DOUBLING_BYTES:
            self._next_bytes *= 2
        self.regions.append(region)
        return region, chunk


def run_two_steps(buffers: Sequence[Buffer]) -> Arena:
    """The arena after a first step, and a second one by the memory pattern of the first."""
    arena = Arena()
    own = [buffer for buffer in buffers if not buffer.is_output]
    _step(arena, own)
    block = arena.allocate(pattern_bytes(buffer for buffer in own if not buffer.is_scratch))
    _step(arena, [buffer for buffer in own if buffer.is_scratch])
    arena.free(block)
    return arena


def _step(arena: Arena, buffers: Iterable[Buffer]) -> None:
    handles = {}
    for is_birth, index, buffer in moments(buffers):
        if is_birth:
            handles[index] = arena.allocate(buffer.size)
        else:
            arena.free(handles.pop(index))


def pattern_bytes(buffers: Iterable[Buffer]) -> int:
    """Bytes of the block that holds the buffers of a step: each in the tightest gap, else behind all others."""
    placed: dict[int, tuple[int, int]] = {}
    most = 0
    for is_birth, index, buffer in moments(buffers):
        if not is_birth:
            placed.pop(index)
            continue
        size = -(-buffer.size // ALIGNMENT) * ALIGNMENT
        start = _tightest(sorted(placed.values()), size)
        placed[index] = (start, size)
        most = max(most, start + size)
    return most


def _tightest(blocks: Sequence[tuple[int, int]], size: int) -> int:
    end, best, waste = 0, None, 0
    for start, length in blocks:
        gap = start - end
        if gap >= size and (best is None or gap - size < waste):
            best, waste = end, gap - size
        end = max(end, start + length)
    return end if best is None else best
