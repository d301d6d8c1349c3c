"""Training steps of causal language models as their repositories have them. Factories: `llm_steps.py:NAME`.

One micro-batch of one device: what several devices exchange is not in it, nor the update of the device's share of the
weights, less than 2 % of these steps. A fused kernel of the original stands here as the fewest operators of torch that
move the same data. Tensors are (B, L, D), within attention (B, H, L, E).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, rms_norm, scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint

Step = Callable[[], None]

_MPT = {
    "125m": (12, 768, 12),
    "350m": (24, 1024, 16),
    "760m": (24, 1536, 12),
    "1b": (24, 2048, 16),
    "7b": (32, 4096, 32),
    "13b": (40, 5120, 40),
    "30b": (48, 7168, 56),
    "70b": (80, 8192, 64),
}
"""Layers, width and heads, https://github.com/mosaicml/llm-foundry/tree/main/scripts/train/yamls."""
_MPT_VOCABULARY = 50368


def mpt(
    device: torch.device, *, size: str = "7b", batch_size: int = 1, seq_len: int = 2048, checkpointing: bool = False
) -> Step:
    """MPT under FSDP, whose mixed precision leaves weights, gradients and normalisations in bf16.

    Args:
        device: where it runs.
        size: a key of the table above.
        batch_size: sequences of a micro-batch (B).
        seq_len: tokens a sequence (L).
        checkpointing: every block is computed again in the backward pass.
    """
    layers, width, heads = _MPT[size]
    with device:
        ids = torch.zeros((batch_size, seq_len), dtype=torch.long)
        network = _Network(_MPT_VOCABULARY, seq_len, width, [_MPTBlock(width, heads) for _ in range(layers)])
    return _step(network.to(torch.bfloat16), ids, checkpointing=checkpointing)


def tinyllama(device: torch.device, *, batch_size: int = 8, seq_len: int = 2048) -> Step:
    """TinyLlama 1.1B: autocast in bf16 by FSDP, fused RMS norm, rotary embedding, SwiGLU, cross entropy and attention.

    Args:
        device: where it runs.
        batch_size: sequences of a micro-batch (B).
        seq_len: tokens a sequence (L).
    """
    with device:
        ids = torch.zeros((batch_size, seq_len), dtype=torch.long)
        network = _Network(32000, 0, 2048, [_LlamaBlock(2048, 32, 4, 5632, seq_len) for _ in range(22)])
    return _step(network.to(torch.bfloat16), ids, checkpointing=False)


def _step(network: nn.Module, ids: Tensor, *, checkpointing: bool) -> Step:
    def step() -> None:
        logits = network(ids, checkpointing=checkpointing)
        cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)

    return step


class _Network(nn.Module):
    """Embedding, blocks, a last normalisation, and the embedding again as the head."""

    def __init__(self, vocabulary: int, positions: int, width: int, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width) if positions else None
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: Tensor, *, checkpointing: bool) -> Tensor:
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if checkpointing else block(x)
        return nn.functional.linear(self.norm(x), self.embedding.weight)


class _MPTBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        q, k, v = (_heads(part, self.heads) for part in self.qkv(self.before(x)).chunk(3, dim=-1))
        x = x + self.out(_joined(scaled_dot_product_attention(q, k, v, is_causal=True)))
        return x + self.down(gelu(self.up(self.between(x))))


class _LlamaBlock(nn.Module):
    def __init__(self, width: int, heads: int, groups: int, inner: int, seq_len: int) -> None:
        super().__init__()
        head = width // heads
        self.heads, self.groups = heads, groups
        self.before, self.between = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.qkv, self.out = _linear(width, (heads + 2 * groups) * head), _linear(width, width)
        self.gate, self.up, self.down = _linear(width, inner), _linear(width, inner), _linear(inner, width)
        self.angles: Tensor
        self.register_buffer("angles", torch.ones(seq_len, head))

    def forward(self, x: Any) -> Any:
        width = x.shape[-1]
        shared = self.groups * width // self.heads
        qkv = self.qkv(rms_norm(x, (width,), self.before)).split((width, shared, shared), dim=-1)
        q, k, v = (_heads(part, heads) for part, heads in zip(qkv, (self.heads, self.groups, self.groups), strict=True))
        q, k = q * self.angles, k * self.angles  # the fused kernel reads and writes once
        x = x + self.out(_joined(scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)))
        y = rms_norm(x, (width,), self.between)
        return x + self.down(silu(self.gate(y)) * self.up(y))


def _linear(size: int, out: int) -> nn.Linear:
    return nn.Linear(size, out, bias=False)


def _heads(x: Any, heads: int) -> Any:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)
