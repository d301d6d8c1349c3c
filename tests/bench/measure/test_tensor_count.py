import torch
from hypothesis import given
from hypothesis import strategies as st

from sslbench.bench.measure.tensor_count import highest_sum, peak_tensor_bytes

FLOAT = 4


@given(st.lists(st.integers(-100, 100)))
def test_highest_sum_is_the_highest_prefix(changes):
    assert highest_sum(changes) == max(sum(changes[:end]) for end in range(len(changes) + 1))


def test_every_byte_of_a_step_known_by_hand():
    # x and its double are held while the sum, one float, is made
    def build():
        x = torch.ones(1000)

        def step():
            return (x + x).sum()

        return step

    assert peak_tensor_bytes(build) == FLOAT * (1000 + 1000 + 1)


def test_the_second_step_holds_what_the_first_made():
    def build():
        state = []

        def step():
            if not state:
                state.append(torch.ones(5000))
            torch.ones(1000)

        return step

    assert peak_tensor_bytes(build) == FLOAT * (5000 + 1000)
