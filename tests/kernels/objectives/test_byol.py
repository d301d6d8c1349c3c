import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives import byol
from sslbench.kernels.objectives.byol import regression_loss


def naive(predicted, target):
    """Equation 2 of https://arxiv.org/abs/2006.07733 in its second form, row by row."""
    cosines = [torch.dot(p, t) / (p.norm() * t.norm()) for p, t in zip(predicted, target, strict=True)]
    return sum(2 - 2 * cosine for cosine in cosines) / len(cosines)


@settings(max_examples=30)
@given(images=st.integers(1, 6), width=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_value_and_gradient_match_the_naive_loop(images, width, seed):
    generator = torch.Generator().manual_seed(seed)
    predicted, target = torch.randn(2, images, width, generator=generator, dtype=torch.float64)
    predicted.requires_grad_()
    copy = predicted.detach().clone().requires_grad_()
    loss, expected = regression_loss(predicted, target), naive(copy, target)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(predicted.grad, copy.grad, rtol=1e-7, atol=1e-9)


def test_both_views_are_predicted(tiny_resnet, trained):
    built = trained(byol, model=tiny_resnet, batch_size=3, image_size=32, hidden_dim=8, projection_dim=4)
    network, (view_a, view_b) = built.network, built.inputs
    expected = naive(network.predict(view_a), network.aim(view_b)) + naive(network.predict(view_b), network.aim(view_a))
    torch.testing.assert_close(built.loss(view_a, view_b), expected)
    torch.testing.assert_close(built.loss(view_b, view_a), expected)


def test_the_target_has_running_statistics_of_its_own(tiny_resnet, trained):
    built = trained(byol, model=tiny_resnet, batch_size=3, image_size=32, hidden_dim=8, projection_dim=4)
    before = {name: buffer.clone() for name, buffer in built.network.target.named_buffers() if "mean" in name}
    built.loss(*built.inputs)
    after = dict(built.network.target.named_buffers())
    assert before
    assert all(not torch.equal(after[name], mean) for name, mean in before.items())


def test_the_target_has_no_predictor_and_starts_as_the_online_network(tiny_resnet, trained):
    network = trained(byol, model=tiny_resnet, batch_size=2, image_size=32).network
    for (name, online), target in zip(network.online.named_parameters(), network.target.parameters(), strict=True):
        assert torch.equal(online, target), name
    # (256 -> 4096 with bias and normalisation) -> 256
    assert sum(p.numel() for p in network.predictor.parameters()) == 256 * 4096 + 3 * 4096 + 4096 * 256


def test_a_momentum_out_of_range_is_named(tiny_resnet, build):
    with pytest.raises(ValueError, match=r"momentum: expected a number from 0 to 1, got -0\.1"):
        build(byol, model=tiny_resnet, batch_size=2, image_size=32, momentum=-0.1)
