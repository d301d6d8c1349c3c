"""A stand-in for the image tokenizer of BEiT: the encoder of DALL-E's discrete VAE, with random weights.

Architecture: Appendix A.1 of https://arxiv.org/abs/2102.12092 and https://github.com/openai/DALL-E,
dall_e/encoder.py: four groups of two residual blocks with max-pooling between, 8192 tokens, one for 8 x 8 pixels. It
costs what the real one costs; what its tokens mean is nobody's.

Shapes: B images, S pixels a side, G = S / 8, V tokens in the vocabulary.
"""

import torch
from torch import nn

PIXELS = 8
"""Pixels a side of one token."""
VOCABULARY = 8192
_WIDTH, _GROUPS, _BLOCKS = 256, 4, 2


class DiscreteVaeEncoder(nn.Module):
    """Images (B, 3, S, S) in fp32 to tokens (B, G * G); never trained.

    As in the authors' code, its convolutions run in fp16 on a GPU, with weights stored in fp32, but for the last.
    """

    def __init__(self, width: int = _WIDTH, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 7, padding=3)]
        channels = width
        for group in range(_GROUPS):
            for _ in range(_BLOCKS):
                layers.append(_Block(channels, width * 2**group))
                channels = width * 2**group
            layers.append(nn.MaxPool2d(2) if group < _GROUPS - 1 else nn.ReLU())
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, vocabulary, 1)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The likeliest token of every place."""
        device = images.device.type
        with torch.autocast(device, dtype=torch.float16, enabled=device == "cuda"):
            hidden = self.blocks(images)
        with torch.autocast(device, enabled=False):
            logits = self.head(hidden.float())
        tokens: torch.Tensor = logits.argmax(dim=1).flatten(1)
        return tokens


class _Block(nn.Module):
    """x + f(x) / layers^2, with a bottleneck of a quarter of the channels in f."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        hidden = out // 4
        self.identity = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        self.residual = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, out, 1),
        )
        self.gain = 1 / (_GROUPS * _BLOCKS) ** 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.identity(x) + self.gain * self.residual(x)
        return total
