"""What it takes eager PyTorch to start an operator that has almost nothing to do."""

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.micro.micro import Call, Micro, Shape, randn

CALLS = 100
BLOCK_OPERATORS = 38
"""ATen operators that `Block` calls, views too (counted by a test)."""


def dispatch(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Additions of one element, one after the other; on a GPU the host is kept busy, not the device."""
    x = randn(device, dtype, 1)

    def run() -> None:
        for _ in range(CALLS):
            torch.add(x, x)

    return run


class Block(nn.Module):
    """A transformer block as models write it: what a step's operators take includes the Python around them."""

    def __init__(self, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down, self.gelu = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), nn.GELU()

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Attention and a perceptron, each on normalised input and added to it."""
        y_BTD = self.norm_1(x_BTD)
        parts = (
            part(y_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        x_BTD = x_BTD + self.out(functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))
        y: torch.Tensor = x_BTD + self.down(self.gelu(self.up(self.norm_2(x_BTD))))
        return y


def block(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """`Block` on 8 tokens."""
    module, x_BTD = Block().to(device, dtype).eval(), randn(device, dtype, 1, 8, 64)
    return lambda: module(x_BTD)


MICROS = (
    Micro(kernel="dispatch", build=dispatch, calls=CALLS),
    Micro(kernel="eager_block", build=block, calls=BLOCK_OPERATORS),
)
