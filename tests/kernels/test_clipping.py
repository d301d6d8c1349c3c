import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sslbench.kernels.clipping import check_clip, clip_each


def parameters(*gradients):
    made = [nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    return made


@settings(max_examples=50)
@given(
    gradients=st.lists(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=4), min_size=1, max_size=4),
    limit=st.floats(0.01, 50),
)
def test_each_gradient_is_clipped_by_its_own_norm(gradients, limit):
    clipped = parameters(*gradients)
    clip_each(clipped, limit)
    for parameter, gradient in zip(clipped, gradients, strict=True):
        expected = torch.tensor(gradient)
        factor = limit / (expected.norm(2) + 1e-6)  # clip_gradients of dino's utils.py
        torch.testing.assert_close(parameter.grad, expected * factor if factor < 1 else expected)


def test_a_parameter_without_gradient_is_left_alone():
    parameter = nn.Parameter(torch.ones(2))
    clip_each([parameter], 1.0)
    assert parameter.grad is None


def test_a_norm_is_not_negative():
    check_clip(0.0)
    with pytest.raises(ValueError, match=r"clip_gradient: expected a norm from 0 \(no clipping\), got -1"):
        check_clip(-1.0)
