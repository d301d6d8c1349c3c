import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.trace.allocator import CachingAllocator, OutOfDeviceMemoryError, replay, round_up

MIB = 1 << 20


@pytest.mark.parametrize(
    ("request_bytes", "allocated", "reserved"),
    [
        (1, 512, 2 * MIB),
        (512, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (29 * MIB + 5, 30 * MIB, 30 * MIB),  # less than 1 MiB would be left: the block is not split
    ],
)
def test_segment_sizes_are_those_of_the_cuda_allocator(request_bytes, allocated, reserved):
    allocator = CachingAllocator()
    allocator.malloc(request_bytes)
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (allocated, reserved)


def test_an_empty_request_takes_nothing():
    allocator = CachingAllocator()
    assert allocator.malloc(0) is None
    allocator.free(None)
    assert allocator.reserved_bytes == 0


def test_freed_memory_is_reused_and_joined():
    allocator = CachingAllocator()
    first, second = allocator.malloc(12 * MIB), allocator.malloc(8 * MIB)
    allocator.free(first)
    allocator.free(second)
    third = allocator.malloc(12 * MIB)
    assert third == first
    assert allocator.reserved_bytes == 32 * MIB


def test_a_limit_first_costs_the_cache_and_then_fails():
    allocator = CachingAllocator(limit_bytes=64 * MIB)
    address = allocator.malloc(40 * MIB)
    allocator.free(address)
    allocator.malloc(50 * MIB)  # the cached 40 MiB segment is given back
    assert allocator.reserved_bytes == 50 * MIB
    with pytest.raises(OutOfDeviceMemoryError):
        allocator.malloc(30 * MIB)


@st.composite
def lives(draw):
    """Sizes, and events in which every storage is allocated once and perhaps freed later."""
    sizes = draw(st.lists(st.integers(1, 64 * MIB), min_size=1, max_size=40))
    events, alive = [], []
    for index in range(len(sizes)):
        events.append(index)
        alive.append(index)
        for _ in range(draw(st.integers(0, 2))):
            if alive:
                events.append(~alive.pop(draw(st.integers(0, len(alive) - 1))))
    return sizes, events, alive


@given(lives())
def test_reserved_covers_allocated_and_allocated_covers_what_is_asked(life):
    sizes, events, alive = life
    allocator = replay(sizes, events)
    assert allocator.allocated_bytes >= sum(round_up(sizes[index], 512) for index in alive)
    assert allocator.peak_reserved_bytes >= allocator.peak_allocated_bytes >= allocator.allocated_bytes


@given(lives())
def test_all_memory_comes_back(life):
    sizes, events, alive = life
    assert replay(sizes, [*events, *(~index for index in alive)]).allocated_bytes == 0


@given(lives())
def test_the_reserved_peak_is_a_limit_that_suffices(life):
    sizes, events, _ = life
    free = replay(sizes, events)
    limited = replay(sizes, events, limit_bytes=free.peak_reserved_bytes)
    assert limited.peak_reserved_bytes == free.peak_reserved_bytes
    with pytest.raises(OutOfDeviceMemoryError):
        replay(sizes, events, limit_bytes=max(sizes) - 1)


@given(lives())
def test_an_expandable_segment_wastes_less_than_a_page_of_each_pool_at_its_growth(life):
    sizes, events, alive = life
    allocator = replay(sizes, events, expandable=True)
    asked = sum(round_up(sizes[index], 512) for index in alive)
    assert allocator.allocated_bytes == asked  # blocks are split exactly
    assert allocator.peak_reserved_bytes >= allocator.peak_allocated_bytes
    assert replay(sizes, [*events, *(~index for index in alive)], expandable=True).allocated_bytes == 0


def test_an_expandable_segment_grows_by_pages_and_joins_them():
    allocator = CachingAllocator(expandable=True)
    first = allocator.malloc(15 * MIB)
    assert allocator.reserved_bytes == 20 * MIB
    second = allocator.malloc(10 * MIB)  # 5 MiB are left of the first page, one more is mapped
    assert (second, allocator.reserved_bytes) == (first + 15 * MIB, 40 * MIB)
    allocator.free(first)
    allocator.free(second)
    assert allocator.malloc(40 * MIB) == first  # fragments of any age join
    assert allocator.reserved_bytes == 40 * MIB
    allocator.malloc(100)
    assert allocator.reserved_bytes == 42 * MIB  # the small pool has a segment of its own


@given(lives())
def test_an_expandable_segment_under_pressure_stays_within_its_limit(life):
    sizes, events, _ = life
    most = replay(sizes, events, expandable=True).peak_reserved_bytes
    assert replay(sizes, events, most, expandable=True).peak_reserved_bytes == most
    with pytest.raises(OutOfDeviceMemoryError):
        replay(sizes, events, max(sizes) - 1, expandable=True)


def test_free_pages_are_given_back_before_an_expandable_segment_fails():
    allocator = CachingAllocator(limit_bytes=80 * MIB, expandable=True)
    first, second = allocator.malloc(40 * MIB), allocator.malloc(20 * MIB)
    allocator.free(first)
    third = allocator.malloc(60 * MIB)
    assert third == second + 20 * MIB
    assert allocator.reserved_bytes == 80 * MIB
    allocator.free(third)
    allocator.free(second)
    assert allocator.allocated_bytes == 0
