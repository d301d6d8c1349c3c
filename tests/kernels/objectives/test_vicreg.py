import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives import vicreg
from sslbench.kernels.objectives.vicreg import vicreg_loss

WEIGHTS = {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}


def naive(a, b, invariance, variance, covariance):
    """Equations 1 to 6 of https://arxiv.org/abs/2105.04906, element by element, with the means of the authors' code."""
    images, width = a.shape
    distance = sum((a[n, d] - b[n, d]) ** 2 for n in range(images) for d in range(width)) / (images * width)
    hinge, off_diagonal = 0.0, 0.0
    for z in (a, b):
        mean = [sum(z[:, d]) / images for d in range(width)]
        matrix = [
            [sum((z[n, i] - mean[i]) * (z[n, j] - mean[j]) for n in range(images)) / (images - 1) for j in range(width)]
            for i in range(width)
        ]
        hinge = hinge + sum(torch.relu(1 - (matrix[d][d] + 1e-4).sqrt()) for d in range(width)) / width / 2
        off_diagonal = (
            off_diagonal + sum(matrix[i][j] ** 2 for i in range(width) for j in range(width) if i != j) / width
        )
    return invariance * distance + variance * hinge + covariance * off_diagonal


@settings(max_examples=25)
@given(
    images=st.integers(2, 5),
    width=st.integers(2, 4),
    weights=st.tuples(*[st.floats(0.1, 30)] * 3),
    scale=st.floats(0.1, 3),
    seed=st.integers(0, 2**31),
)
def test_value_and_gradient_match_the_naive_loops(images, width, weights, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    views = scale * torch.randn(2, images, width, generator=generator, dtype=torch.float64)
    ours, copies = views.clone().requires_grad_(), views.clone().requires_grad_()
    loss = vicreg_loss(*ours, invariance=weights[0], variance=weights[1], covariance=weights[2])
    expected = naive(*copies, *weights)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.grad, copies.grad, rtol=1e-7, atol=1e-9)


def test_a_collapsed_embedding_costs_its_missing_variance():
    same = torch.ones(8, 4, dtype=torch.float64)
    assert vicreg_loss(same, same, **WEIGHTS).item() == pytest.approx(25 * (1 - 1e-4**0.5))


def test_views_alike_varied_and_uncorrelated_cost_nothing():
    features = 2.0 * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert vicreg_loss(features, features, **WEIGHTS).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", ["invariance_weight", "variance_weight", "covariance_weight"])
def test_weights_must_be_above_zero(name, build, tiny_resnet):
    with pytest.raises(ValueError, match=f"{name}: expected a number above 0, got -1.0"):
        build(vicreg, model=tiny_resnet, batch_size=2, image_size=32, **{name: -1.0})
