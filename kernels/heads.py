"""Projection and prediction heads: the multi-layer perceptrons that joint-embedding methods put on an encoder."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp_head(
    sizes: Sequence[int],
    *,
    hidden_norm: bool = True,
    hidden_bias: bool = False,
    output_norm: bool = False,
    output_bias: bool = False,
) -> nn.Sequential:
    """Linear layers from sizes[0] to sizes[-1], each but the last followed by batch normalisation and ReLU.

    The methods differ in what is biased and normalised; the defaults are those of Barlow Twins
    (https://github.com/facebookresearch/barlowtwins, main.py).

    Args:
        sizes: widths of the input, of every hidden layer, and of the output.
        hidden_norm: batch normalisation between a hidden layer and its ReLU.
        hidden_bias: hidden layers have a bias.
        output_norm: batch normalisation without scale and shift after the last layer (MoCo v3, SimSiam).
        output_bias: the last layer has a bias.

    Raises:
        ValueError: a width is not positive.
    """
    if min(sizes) < 1:
        raise ValueError(f"a head's widths: expected positive integers, got {', '.join(map(str, sizes))}")
    layers: list[nn.Module] = []
    for width, following in pairwise(sizes[:-1]):
        layers.append(nn.Linear(width, following, bias=hidden_bias))
        if hidden_norm:
            layers.append(nn.BatchNorm1d(following))
        layers.append(nn.ReLU(inplace=True))
    layers.append(nn.Linear(sizes[-2], sizes[-1], bias=output_bias))
    if output_norm:
        layers.append(nn.BatchNorm1d(sizes[-1], affine=False))
    return nn.Sequential(*layers)
