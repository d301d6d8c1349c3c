"""The projection head of DINO, iBOT and DINOv2."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm


class DinoHead(nn.Module):
    """Features (N, F) to logits over prototypes (N, K): F -> H -> H -> B with GELU between, norm, B -> K.

    The bottleneck's output has unit length, and the last layer, without bias, is weight-normalised
    (Appendix C of https://arxiv.org/abs/2104.14294; DINOHead of the authors' code).

    Args:
        features: width of the encoder's output (F).
        prototypes: width of the output (K).
        hidden: width of the two hidden layers (H).
        bottleneck: width before the last layer (B).
        norm_last_layer: hold the lengths of the prototypes at 1; without, they are learned.

    Raises:
        ValueError: a size is not positive.
    """

    def __init__(self, features: int, *, prototypes: int, hidden: int, bottleneck: int, norm_last_layer: bool) -> None:
        super().__init__()
        for name, size in (("prototypes", prototypes), ("hidden_dim", hidden), ("bottleneck_dim", bottleneck)):
            if size < 1:
                raise ValueError(f"{name}: expected a positive integer, got {size}")
        self.prototypes = prototypes
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last_layer = weight_norm(nn.Linear(bottleneck, prototypes, bias=False))
        self.lengths.data.fill_(1)
        self.lengths.requires_grad_(not norm_last_layer)

    @property
    def lengths(self) -> nn.Parameter:
        """Lengths of the prototypes (K, 1): g of weight normalisation, https://arxiv.org/abs/1602.07868."""
        lengths: nn.Parameter = self.last_layer.parametrizations.weight.original0
        return lengths

    def forward(self, features_NF: torch.Tensor) -> torch.Tensor:
        """Logits over prototypes (N, K)."""
        bottleneck_NB = self.mlp(features_NF)
        eps = 1e-6 if bottleneck_NB.dtype == torch.float16 else 1e-12
        logits_NK: torch.Tensor = self.last_layer(functional.normalize(bottleneck_NB, dim=-1, eps=eps))
        return logits_NK

    def hold_prototypes(self) -> None:
        """Forget the last layer's gradient, so that the optimizer neither moves it nor makes a state for it."""
        for parameter in self.last_layer.parameters():
            parameter.grad = None
