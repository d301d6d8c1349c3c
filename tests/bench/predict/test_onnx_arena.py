"""The model of ONNX Runtime's arena: sizes, splitting, joining, regions, and the block of the memory pattern."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.predict.onnx_arena import ALIGNMENT, PAGE_BYTES, Arena, pattern_bytes, run_two_steps
from sslbench.bench.trace.onnx_plan import Buffer

MIB = 2**20


def buffer(size, born, died, **kind):
    return Buffer(size, born, died, "Gemm", **kind)


@pytest.mark.parametrize(("size", "region"), [(1, 1), (MIB, 1), (MIB + 1, 2), (5 * MIB, 8)])
def test_a_region_is_a_power_of_two(size, region):
    arena = Arena()
    arena.allocate(size)
    assert [each.size for each in arena.regions] == [region * MIB]


def test_regions_double_even_where_one_would_do():
    arena = Arena()
    for _ in range(3):
        arena.allocate(MIB)
    assert [each.size for each in arena.regions] == [MIB, 2 * MIB]  # the second holds two
    arena.allocate(MIB)
    assert arena.regions[-1].size == 4 * MIB


def test_only_what_was_written_to_is_resident():
    arena = Arena()
    arena.allocate(5 * MIB)
    assert arena.touched_bytes() == 5 * MIB
    assert arena.touched_bytes(smaller_than=8 * MIB) == 0


def test_the_smallest_chunk_that_fits_is_taken():
    arena = Arena()
    handles = [arena.allocate(size) for size in (300_000, 256, 200_000, 256)]
    arena.free(handles[0])
    arena.free(handles[2])
    _, chunk = arena.allocate(190_000)
    assert chunk is handles[2][1]


def test_neighbours_join_when_freed():
    arena = Arena()
    handles = [arena.allocate(MIB // 4) for _ in range(4)]
    for handle in handles:
        arena.free(handle)
    arena.allocate(MIB)
    assert len(arena.regions) == 1


def test_the_pattern_is_one_block_beside_what_the_first_step_left():
    # The regions of 2 and 4 MiB that the first step left cannot hold the block of 5 MiB.
    buffers = [buffer(2 * MIB, 0, 1), buffer(3 * MIB, 1, 2)]
    arena = run_two_steps(buffers)
    assert pattern_bytes(buffers) == 5 * MIB
    assert [region.size // MIB for region in arena.regions] == [2, 4, 8]
    assert arena.touched_bytes() == 2 * MIB + 3 * MIB + 5 * MIB


def test_outputs_and_scratch_stay_out_of_the_pattern():
    buffers = [buffer(MIB, 0, 0), buffer(4 * MIB, 0, 0, is_scratch=True), buffer(8 * MIB, 0, 1, is_output=True)]
    assert run_two_steps(buffers).touched_bytes() < 2 * (MIB + 4 * MIB + 8 * MIB)


def test_the_block_takes_the_tightest_gap():
    buffers = [
        buffer(10 * ALIGNMENT, 0, 1),
        buffer(ALIGNMENT, 0, 9),
        buffer(4 * ALIGNMENT, 0, 1),
        buffer(ALIGNMENT, 0, 9),
        buffer(4 * ALIGNMENT, 2, 9),  # into the gap of 4, not of 10
        buffer(9 * ALIGNMENT, 3, 9),
    ]
    assert pattern_bytes(buffers) == 16 * ALIGNMENT


lifetimes = st.lists(
    st.tuples(st.integers(1, 3 * MIB), st.integers(0, 20), st.integers(0, 10)).map(
        lambda row: buffer(row[0], row[1], row[1] + row[2])
    ),
    min_size=1,
    max_size=12,
)


@given(lifetimes)
def test_the_block_holds_what_lives_at_one_time_and_no_more_than_everything(buffers):
    rounded = [-(-each.size // ALIGNMENT) * ALIGNMENT for each in buffers]
    alive = [
        sum(size for each, size in zip(buffers, rounded, strict=True) if each.born <= moment <= each.died)
        for moment in range(31)
    ]
    assert max(alive) <= pattern_bytes(buffers) <= sum(rounded)


@given(st.lists(st.integers(1, 3 * MIB), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_chunks_never_overlap_and_everything_freed_is_one_chunk_a_region(sizes, random):
    arena = Arena()
    handles = []
    for size in sizes:
        handles.append(arena.allocate(size))
        if random.random() < 0.3:
            arena.free(handles.pop(random.randrange(len(handles))))
        for region in arena.regions:
            ends = [chunk.start + chunk.size for chunk in region.chunks]
            assert [chunk.start for chunk in region.chunks] == [0, *ends[:-1]]
            assert ends[-1] == region.size
    for handle in handles:
        arena.free(handle)
    assert all(len(region.chunks) == 1 for region in arena.regions)
    assert arena.touched_bytes() % PAGE_BYTES == 0
