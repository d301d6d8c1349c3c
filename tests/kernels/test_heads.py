import pytest
import torch
from torch import nn

from sslbench.kernels.heads import mlp_head


def kinds(head):
    return [type(layer).__name__ for layer in head]


def test_layers_of_the_default():
    head = mlp_head((5, 7, 8, 3))
    assert kinds(head) == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [layer.weight.shape for layer in head if isinstance(layer, nn.Linear)] == [(7, 5), (8, 7), (3, 8)]
    assert all(layer.bias is None for layer in head if isinstance(layer, nn.Linear))
    assert head(torch.randn(4, 5)).shape == (4, 3)


def test_every_choice():
    plain = mlp_head((5, 7, 3), hidden_norm=False, hidden_bias=True, output_bias=True)
    assert kinds(plain) == ["Linear", "ReLU", "Linear"]
    assert all(layer.bias is not None for layer in plain if isinstance(layer, nn.Linear))
    normed = mlp_head((5, 7, 3), output_norm=True)
    assert kinds(normed)[-1] == "BatchNorm1d"
    assert not normed[-1].affine


@pytest.mark.parametrize("sizes", [(5, 0, 3), (5, 7, -1)])
def test_widths_are_positive(sizes):
    with pytest.raises(ValueError, match="a head's widths: expected positive integers, got 5,"):
        mlp_head(sizes)
