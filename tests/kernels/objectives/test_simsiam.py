import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives import simsiam
from sslbench.kernels.objectives.simsiam import negative_cosine


@settings(max_examples=30)
@given(images=st.integers(1, 6), width=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_value_and_gradient_match_the_naive_loop(images, width, seed):
    generator = torch.Generator().manual_seed(seed)
    predicted, target = torch.randn(2, images, width, generator=generator, dtype=torch.float64)
    predicted.requires_grad_()
    target.requires_grad_()
    copy = predicted.detach().clone().requires_grad_()
    loss = negative_cosine(predicted, target)
    expected = (
        -sum(torch.dot(p, t) / (p.norm() * t.norm()) for p, t in zip(copy, target.detach(), strict=True)) / images
    )
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(predicted.grad, copy.grad, rtol=1e-7, atol=1e-9)
    assert target.grad is None


def test_the_heads_are_the_papers(trained, tiny_resnet):
    network = trained(simsiam, model=tiny_resnet, batch_size=2, image_size=32).network
    widths = [
        [tuple(layer.weight.shape) for layer in head if isinstance(layer, torch.nn.Linear)]
        for head in (network.projector, network.predictor)
    ]
    assert widths == [[(16, 16), (16, 16), (2048, 16)], [(512, 2048), (2048, 512)]]


def test_the_loss_is_symmetric_and_from_minus_one_to_one(trained, tiny_resnet):
    built = trained(simsiam, model=tiny_resnet, batch_size=4, image_size=32)
    view_a, view_b = built.inputs
    loss = built.loss(view_a, view_b)
    torch.testing.assert_close(loss, built.loss(view_b, view_a))
    assert -1 <= loss.item() <= 1
