import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.losses.sinkhorn import sinkhorn

unhurried = settings(max_examples=30)


def naive(scores, epsilon, iterations):
    """Algorithm 1 of https://arxiv.org/abs/2006.09882, element by element: rows are prototypes."""
    samples, prototypes = scores.shape
    q = [[torch.exp(scores[n, k] / epsilon).item() for n in range(samples)] for k in range(prototypes)]
    total = sum(map(sum, q))
    q = [[value / total for value in row] for row in q]
    for _ in range(iterations):
        q = [[value / sum(row) / prototypes for value in row] for row in q]
        columns = [sum(row[n] for row in q) for n in range(samples)]
        q = [[row[n] / columns[n] / samples for n in range(samples)] for row in q]
    columns = [sum(row[n] for row in q) for n in range(samples)]
    return torch.tensor([[q[k][n] / columns[n] for k in range(prototypes)] for n in range(samples)])


@unhurried
@given(
    samples=st.integers(1, 6),
    prototypes=st.integers(1, 6),
    epsilon=st.floats(0.05, 1),
    iterations=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_as_the_naive_loops(samples, prototypes, epsilon, iterations, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.rand(samples, prototypes, generator=generator, dtype=torch.float64) - 1
    found = sinkhorn(scores, epsilon=epsilon, iterations=iterations)
    torch.testing.assert_close(found, naive(scores, epsilon, iterations).double(), rtol=1e-5, atol=1e-6)


@unhurried
@given(samples=st.integers(2, 8), prototypes=st.integers(2, 8), seed=st.integers(0, 2**31))
def test_many_iterations_use_all_prototypes_alike(samples, prototypes, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(samples, prototypes, generator=generator, dtype=torch.float64)
    assigned = sinkhorn(scores, epsilon=0.5, iterations=100)
    torch.testing.assert_close(assigned.sum(dim=1), torch.ones(samples, dtype=torch.float64))
    share = torch.full((prototypes,), samples / prototypes, dtype=torch.float64)
    torch.testing.assert_close(assigned.sum(dim=0), share, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_keeps_a_graph(dtype):
    scores = torch.ones(4, 3, dtype=dtype, requires_grad=True)
    assigned = sinkhorn(scores, epsilon=0.05, iterations=3)
    assert assigned.dtype == torch.float32
    assert not assigned.requires_grad
    torch.testing.assert_close(assigned, torch.full((4, 3), 1 / 3))
