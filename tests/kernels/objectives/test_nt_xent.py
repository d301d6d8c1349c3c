import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslbench.kernels.objectives.simclr import nt_xent

unhurried = settings(max_examples=40)


def naive(z, temperature):
    """Algorithm 1 of https://arxiv.org/abs/2002.05709 as two loops over rows, in float64."""
    rows = len(z)
    total = 0.0
    for i in range(rows):

        def similarity(j, i=i):
            return torch.dot(z[i], z[j]) / (z[i].norm() * z[j].norm())

        partner = (i + rows // 2) % rows
        others = [torch.exp(similarity(k) / temperature) for k in range(rows) if k != i]
        total = total - torch.log(torch.exp(similarity(partner) / temperature) / sum(others))
    return total / rows


@unhurried
@given(
    images=st.integers(2, 6),
    width=st.integers(1, 9),
    temperature=st.floats(0.05, 5),
    seed=st.integers(0, 2**31),
)
def test_value_and_gradient_match_the_naive_loops(images, width, temperature, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(2 * images, width, generator=generator, dtype=torch.float64, requires_grad=True)
    copy = z.detach().clone().requires_grad_()
    loss, expected = nt_xent(z, temperature), naive(copy, temperature)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(z.grad, copy.grad, rtol=1e-7, atol=1e-9)


@unhurried
@given(images=st.integers(2, 20), temperature=st.floats(0.05, 5))
def test_views_that_are_all_alike_give_the_logarithm_of_their_number(images, temperature):
    z = torch.ones(2 * images, 4, dtype=torch.float64)
    assert nt_xent(z, temperature).item() == pytest.approx(math.log(2 * images - 1))


@unhurried
@given(temperature=st.floats(0.1, 5))
def test_two_images_at_right_angles(temperature):
    z = torch.eye(2, dtype=torch.float64).repeat(2, 1)  # rows e1, e2, e1, e2
    assert nt_xent(z, temperature).item() == pytest.approx(math.log(1 + 2 * math.exp(-1 / temperature)))


@unhurried
@given(scale=st.floats(0.01, 100), images=st.integers(2, 5))
def test_the_length_of_a_projection_does_not_matter(scale, images):
    z = torch.randn(2 * images, 6, dtype=torch.float64)
    torch.testing.assert_close(nt_xent(z, 0.1), nt_xent(z * scale, 0.1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_and_near(dtype):
    z = torch.randn(64, 16)
    loss = nt_xent(z.to(dtype), 0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(nt_xent(z, 0.1).item(), rel=0.02)


@pytest.mark.parametrize("rows", [0, 2, 5])
def test_too_few_or_unpaired_views_are_refused(rows):
    with pytest.raises(ValueError, match=rf"two views each of at least two images, got {rows} rows"):
        nt_xent(torch.randn(rows, 3), 0.1)


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_must_be_above_zero(temperature):
    with pytest.raises(ValueError, match="temperature: expected a number above 0"):
        nt_xent(torch.randn(4, 3), temperature)
