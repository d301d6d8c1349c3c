import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from sslbench.kernels.losses.info_nce import batch_info_nce, queue_info_nce

unhurried = settings(max_examples=30)
sizes = {"count": st.integers(1, 6), "width": st.integers(1, 7), "seed": st.integers(0, 2**31)}


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_queue(query, key, queue, temperature):
    """Equation 1 of https://arxiv.org/abs/1911.05722, query by query."""
    total = 0.0
    for q, k in zip(query, key, strict=True):
        positive = torch.exp(torch.dot(q, k) / temperature)
        negatives = sum(torch.exp(torch.dot(q, other) / temperature) for other in queue.T)
        total = total - torch.log(positive / (positive + negatives))
    return total / len(query)


def naive_batch(query, key, temperature):
    """Algorithm 1 of https://arxiv.org/abs/2104.02057, query by query."""
    total = 0.0
    for i, q in enumerate(query):
        similar = [torch.exp(torch.dot(q, k) / (q.norm() * k.norm()) / temperature) for k in key]
        total = total - torch.log(similar[i] / sum(similar))
    return total / len(query)


def same(ours, theirs, query, copy):
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(query.grad, copy.grad, rtol=1e-7, atol=1e-9)


@unhurried
@given(**sizes, queued=st.integers(1, 8), temperature=st.floats(0.05, 5))
def test_against_a_queue(count, width, seed, queued, temperature):
    query, copy = (normalize(draw(seed, count, width), dim=1).requires_grad_() for _ in range(2))
    key, queue = normalize(draw(seed + 1, count, width), dim=1), normalize(draw(seed + 2, width, queued), dim=0)
    same(queue_info_nce(query, key, queue, temperature), naive_queue(copy, key, queue, temperature), query, copy)


@unhurried
@given(**sizes, temperature=st.floats(0.05, 5))
def test_against_the_batch(count, width, seed, temperature):
    query, copy = (draw(seed, count, width).requires_grad_() for _ in range(2))
    key = draw(seed + 1, count, width)
    same(batch_info_nce(query, key, temperature), naive_batch(copy, key, temperature), query, copy)


def test_no_gradient_flows_into_keys_or_queue():
    query, key, queue = (torch.randn(3, 3, requires_grad=True) for _ in range(3))
    (queue_info_nce(query, key, queue, 0.2) + batch_info_nce(query, key, 0.2)).backward()
    assert query.grad is not None
    assert key.grad is None
    assert queue.grad is None


def test_the_queue_may_change_before_the_backward_pass():
    query, queue = torch.eye(2, 3, requires_grad=True), torch.ones(3, 4)
    loss = queue_info_nce(query, torch.eye(2, 3), queue, 1.0)
    queue.zero_()
    loss.backward()
    assert query.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near(dtype):
    query, key, queue = (normalize(torch.randn(16, 16), dim=1) for _ in range(3))
    halves = [tensor.to(dtype) for tensor in (query, key, queue)]
    assert queue_info_nce(*halves, 0.2).item() == pytest.approx(queue_info_nce(query, key, queue, 0.2).item(), rel=0.03)
    assert batch_info_nce(*halves[:2], 0.2).item() == pytest.approx(batch_info_nce(query, key, 0.2).item(), rel=0.03)


def test_keys_at_right_angles():
    loss = queue_info_nce(torch.eye(4)[:2], torch.eye(4)[:2], torch.eye(4)[:, 2:], 0.5)
    assert loss.item() == pytest.approx(math.log(1 + 2 * math.exp(-1 / 0.5)))
