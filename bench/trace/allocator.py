"""Replay of a trace's storages through a model of CUDA's caching allocator: from bytes allocated to bytes reserved.

Sizes and rules are those of c10/cuda/CUDACachingAllocator.cpp, for one stream, with its default settings or with
`expandable_segments:True`.
https://github.com/pytorch/pytorch/blob/v2.7.0/c10/cuda/CUDACachingAllocator.cpp

Known limitations: several streams, `max_split_size_mb`, `roundup_power2_divisions` and garbage collection are not
modelled; memory that an expandable segment gave back under pressure is mapped again at its end, not in its middle.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

MIN_BLOCK_BYTES = 512
SMALL_BYTES = 1 << 20
"""Largest request that the small pool serves."""
SMALL_SEGMENT_BYTES = 2 << 20
LARGE_SEGMENT_BYTES = 20 << 20
"""Segment of the large pool, for requests under `MIN_LARGE_BYTES`."""
MIN_LARGE_BYTES = 10 << 20
ROUND_LARGE_BYTES = 2 << 20


class OutOfDeviceMemoryError(Exception):
    """The allocator needs more than its limit, even after giving back what it caches."""


@dataclass(slots=True)
class _Block:
    size: int
    small: bool
    previous: int | None
    """Address of the neighbour below in the same segment."""
    following: int | None
    free: bool = False


class CachingAllocator:
    """Best fit with splitting and coalescing, over segments of two pools.

    Args:
        limit_bytes: device memory left for segments; None: without limit.
        expandable: one segment a pool that grows by pages, instead of many of fixed sizes.
    """

    def __init__(self, limit_bytes: int | None = None, *, expandable: bool = False) -> None:
        self.limit_bytes = limit_bytes
        self.expandable = expandable
        self.allocated_bytes = self.reserved_bytes = 0
        self.peak_allocated_bytes = self.peak_reserved_bytes = 0
        self._blocks: dict[int, _Block] = {}
        self._free: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        """Free blocks by pool (small or not), sorted by (size, address)."""
        self._next_address = 1 << 40
        self._last: dict[bool, int] = {}
        """Address of the last block of each pool's expandable segment."""

    def malloc(self, size: int) -> int | None:
        """Address of a new block of at least `size` bytes; None for an empty request.

        Raises:
            OutOfDeviceMemoryError: no segment can be had within the limit.
        """
        if size == 0:
            return None
        wanted = round_up(size, MIN_BLOCK_BYTES)
        small = wanted <= SMALL_BYTES
        free = self._free[small]
        position = bisect_left(free, (wanted, 0))
        if position < len(free):
            address = free.pop(position)[1]
        else:
            address = (self._grow if self.expandable else self._new_segment)(wanted, small=small)
        block = self._blocks[address]
        block.free = False
        self._split(address, block, wanted)
        self.allocated_bytes += block.size
        self.peak_allocated_bytes = max(self.peak_allocated_bytes, self.allocated_bytes)
        return address

    def free(self, address: int | None) -> None:
        """Give a block back to its pool, joined with free neighbours."""
        if address is None:
            return
        block = self._blocks[address]
        self.allocated_bytes -= block.size
        following = block.following
        if following is not None and self._blocks[following].free:
            self._take(following)
            self._join(address, following)
        previous = block.previous
        if previous is not None and self._blocks[previous].free:
            self._take(previous)
            self._join(previous, address)
            address = previous
        block = self._blocks[address]
        block.free = True
        insort(self._free[block.small], (block.size, address))

    def _split(self, address: int, block: _Block, wanted: int) -> None:
        rest = block.size - wanted
        if rest >= MIN_BLOCK_BYTES if block.small or self.expandable else rest > SMALL_BYTES:
            upper = address + wanted
            if self._last.get(block.small) == address:
                self._last[block.small] = upper
            self._blocks[upper] = _Block(rest, block.small, address, block.following, free=True)
            if block.following is not None:
                self._blocks[block.following].previous = upper
            block.size, block.following = wanted, upper
            insort(self._free[block.small], (rest, upper))

    def _join(self, lower: int, upper: int) -> None:
        gone = self._blocks.pop(upper)
        block = self._blocks[lower]
        block.size += gone.size
        block.following = gone.following
        if gone.following is not None:
            self._blocks[gone.following].previous = lower
        if self._last.get(block.small) == upper:
            self._last[block.small] = lower

    def _take(self, address: int) -> None:
        block = self._blocks[address]
        free = self._free[block.small]
        del free[bisect_left(free, (block.size, address))]

    def _new_segment(self, wanted: int, *, small: bool) -> int:
        size = segment_bytes(wanted)
        self._reserve(size)
        address = self._next_address
        self._next_address += size + LARGE_SEGMENT_BYTES  # never adjacent: segments do not coalesce
        self._blocks[address] = _Block(size, small, None, None)
        return address

    def _grow(self, wanted: int, *, small: bool) -> int:
        """Map pages at the end of the pool's expandable segment, of which a free last block is a part."""
        last = self._last.get(small)
        at_hand = self._blocks[last].size if last is not None and self._blocks[last].free else 0
        page = SMALL_SEGMENT_BYTES if small else LARGE_SEGMENT_BYTES
        size = round_up(wanted - at_hand, page)
        if not self._has_room(size):
            self._unmap_free()
            at_hand, size = 0, round_up(wanted, page)
        self._reserve(size)
        if at_hand and last is not None:
            self._take(last)
            self._blocks[last].size += size
            return last
        # A pool's addresses lie apart from the other's, and nothing else lies between its blocks.
        address = (2 if small else 1) << 50 if last is None else last + self._blocks[last].size
        self._blocks[address] = _Block(size, small, last, None)
        if last is not None:
            self._blocks[last].following = address
        self._last[small] = address
        return address

    def _reserve(self, size: int) -> None:
        if not self._has_room(size):
            self._release_cached()
            if not self._has_room(size):
                raise OutOfDeviceMemoryError
        self.reserved_bytes += size
        self.peak_reserved_bytes = max(self.peak_reserved_bytes, self.reserved_bytes)

    def _has_room(self, size: int) -> bool:
        return self.limit_bytes is None or self.reserved_bytes + size <= self.limit_bytes

    def _unmap_free(self) -> None:
        """Give the free pages of expandable segments back: their blocks stay as holes that nothing is put in."""
        for pool in self._free.values():
            for size, address in pool:
                self.reserved_bytes -= size
                self._blocks[address].free = False
            pool.clear()

    def _release_cached(self) -> None:
        """Give segments that are wholly free back to the device, as the allocator does before it fails."""
        if self.expandable:
            return
        for pool in self._free.values():
            for entry in list(pool):
                block = self._blocks[entry[1]]
                if block.previous is None and block.following is None:
                    pool.remove(entry)
                    del self._blocks[entry[1]]
                    self.reserved_bytes -= block.size


def round_up(size: int, multiple: int) -> int:
    """`size` rounded up to a multiple."""
    return -(-size // multiple) * multiple


def segment_bytes(wanted: int) -> int:
    """Size of the segment that is asked from the device for a block of `wanted` bytes."""
    if wanted <= SMALL_BYTES:
        return SMALL_SEGMENT_BYTES
    return LARGE_SEGMENT_BYTES if wanted < MIN_LARGE_BYTES else round_up(wanted, ROUND_LARGE_BYTES)


def replay(
    sizes: list[int], events: Iterable[int], limit_bytes: int | None = None, *, expandable: bool = False
) -> CachingAllocator:
    """Run a trace's events (`i` allocates `sizes[i]`, `~i` frees it) and return the allocator with its peaks.

    Raises:
        OutOfDeviceMemoryError: the events do not fit in `limit_bytes`.
    """
    allocator = CachingAllocator(limit_bytes, expandable=expandable)
    addresses: dict[int, int | None] = {}
    for event in events:
        if event >= 0:
            addresses[event] = allocator.malloc(sizes[event])
        else:
            allocator.free(addresses.pop(~event))
    return allocator


def peak_bytes(sizes: list[int], events: Iterable[int]) -> int:
    """Most bytes alive at one time, without an allocator's rounding: what a CPU's tensors hold."""
    current = peak = 0
    for event in events:
        if event >= 0:
            current += sizes[event]
            peak = max(peak, current)
        else:
            current -= sizes[~event]
    return peak
