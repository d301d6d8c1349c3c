"""Memory of this process, and what a memory pass notes of it."""

import gc
import io
import mmap
import os

import pytest

from sslbench.bench.measure.messages import Outcome
from sslbench.bench.measure.phases import memory_pass
from sslbench.bench.measure.reporter import Reporter
from sslbench.bench.measure.resident import page_faults, resident_bytes, unique_bytes

BLOCK = 64 * 2**20
PAGES = 64

needs_page_faults = pytest.mark.skipif(page_faults() is None, reason="Windows does not count page faults apart")


def test_a_block_of_ones_own_is_unique_memory():
    gc.collect()  # garbage of other tests shall not go meanwhile
    before = unique_bytes()
    block = bytearray(os.urandom(1) * BLOCK)
    assert unique_bytes() - before >= 0.9 * len(block)
    assert unique_bytes() <= resident_bytes()


@needs_page_faults
def test_every_fresh_page_of_a_step_is_a_page_fault():
    def step():
        with mmap.mmap(-1, PAGES * mmap.PAGESIZE) as pages:
            for page in range(PAGES):
                pages[page * mmap.PAGESIZE] = 1

    outcome = Outcome()
    memory_pass(step, Reporter(io.BytesIO()), outcome)
    assert PAGES <= outcome.minor_page_faults < 100 * PAGES  # each step's, not all of them together
    assert outcome.major_page_faults >= 0
    assert outcome.unique_bytes > 0
    assert outcome.unknown == {}


def test_a_memory_pass_tells_the_parent_and_goes_on_for_a_while():
    calls, channel = [], io.BytesIO()
    memory_pass(lambda: calls.append(None), Reporter(channel), Outcome())
    assert channel.getvalue() == b'{"event": "phase", "name": "memory pass"}\n'
    assert len(calls) > 1
