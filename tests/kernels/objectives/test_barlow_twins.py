import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives import barlow_twins
from sslbench.kernels.objectives.barlow_twins import barlow_twins_loss


def naive(a, b, weight):
    """Equations 1 and 2 of https://arxiv.org/abs/2103.03230, element by element."""
    images, width = a.shape
    total = 0.0
    for i in range(width):
        for j in range(width):
            correlation = sum(a[n, i] * b[n, j] for n in range(images)) / images
            total = total + ((1 - correlation) ** 2 if i == j else weight * correlation**2)
    return total


@settings(max_examples=30)
@given(images=st.integers(1, 5), width=st.integers(2, 5), weight=st.floats(1e-3, 1), seed=st.integers(0, 2**31))
def test_value_and_gradient_match_the_naive_loops(images, width, weight, seed):
    generator = torch.Generator().manual_seed(seed)
    views = torch.randn(2, images, width, generator=generator, dtype=torch.float64)
    ours, copies = views.clone().requires_grad_(), views.clone().requires_grad_()
    loss, expected = barlow_twins_loss(*ours, weight), naive(*copies, weight)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours.grad, copies.grad, rtol=1e-7, atol=1e-9)


def test_features_that_correlate_with_themselves_alone_cost_nothing():
    features = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert barlow_twins_loss(features, features, 0.0051).item() == pytest.approx(0.0, abs=1e-6)
    assert barlow_twins_loss(features, -features, 0.0051).item() == pytest.approx(8.0)


def test_projections_are_normalised_along_the_batch_before(trained, tiny_resnet):
    built = trained(barlow_twins, model=tiny_resnet, batch_size=4, image_size=32, hidden_dim=16, projection_dim=8)
    network, views = built.network, built.inputs
    normed = []
    for view in views:
        projected = network.project(view)
        normed.append((projected - projected.mean(dim=0)) / (projected.var(dim=0, unbiased=False) + 1e-5).sqrt())
    torch.testing.assert_close(built.loss(*views), barlow_twins_loss(*normed, 0.0051), rtol=1e-4, atol=1e-4)


def test_the_projector_of_a_resnet50_has_151_million_parameters():
    with torch.device("meta"):
        network = barlow_twins.mlp_head((2048, 8192, 8192, 8192))
    # three matrices without biases, two normalisations with scale and shift
    assert sum(p.numel() for p in network.parameters()) == 2048 * 8192 + 2 * 8192**2 + 2 * 2 * 8192


def test_a_weight_must_be_above_zero(build, tiny_resnet):
    with pytest.raises(ValueError, match=r"off_diagonal_weight: expected a number above 0, got 0\.0"):
        build(barlow_twins, model=tiny_resnet, batch_size=2, image_size=32, off_diagonal_weight=0.0)
