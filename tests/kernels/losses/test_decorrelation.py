import torch
from hypothesis import given
from hypothesis import strategies as st

from sslbench.kernels.losses.decorrelation import off_diagonal


@given(width=st.integers(2, 9))
def test_all_elements_but_the_diagonal_row_by_row(width):
    matrix = torch.arange(width * width).reshape(width, width)
    expected = [matrix[i, j].item() for i in range(width) for j in range(width) if i != j]
    assert off_diagonal(matrix).tolist() == expected


def test_a_copy():
    matrix = torch.ones(3, 3)
    off_diagonal(matrix).zero_()
    assert (matrix == 1).all()
