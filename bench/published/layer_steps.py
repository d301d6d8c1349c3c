"""Layers of language models in fp16, as mli/transformers-benchmarks times them. Factories: `layer_steps.py:NAME`.

Gradients add up; nothing is updated. https://github.com/mli/transformers-benchmarks/blob/main/micro_bench.ipynb
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.t5.modeling_t5 import T5Block

Step = Callable[[], None]
_WIDTH = 1024


def gpt2(device: torch.device, *, batch_size: int = 64, seq_len: int = 512, backward: bool = True) -> Step:
    """A layer of GPT-2 medium.

    Args:
        device: where it runs.
        batch_size: sequences (B).
        seq_len: tokens a sequence (L).
        backward: forward and backward, not forward alone.
    """
    config: Any = transformers.GPT2Config(n_embd=_WIDTH, n_layer=24, n_head=16)
    return _step(device, GPT2Block, config, batch_size, seq_len, backward=backward, encoded=False)


def t5(
    device: torch.device, *, batch_size: int = 64, seq_len: int = 512, backward: bool = True, decoder: bool = False
) -> Step:
    """A layer of T5 large, of its encoder or its decoder; arguments as of `gpt2`."""
    build: Any = transformers.T5Config
    config = build(d_model=_WIDTH, d_ff=4096, num_heads=16, d_kv=64, num_layers=24, is_decoder=decoder, use_cache=False)
    return _step(device, T5Block, config, batch_size, seq_len, backward=backward, encoded=decoder)


def _step(
    device: torch.device, block: Any, config: Any, batch_size: int, seq_len: int, *, backward: bool, encoded: bool
) -> Step:
    config._attn_implementation = "eager"
    torch.set_default_dtype(torch.float16)
    try:
        with device:
            network = block(config, layer_idx=0).train()
            hidden = torch.randn(batch_size, seq_len, _WIDTH)
    finally:
        torch.set_default_dtype(torch.float32)
    others = {"encoder_hidden_states": hidden} if encoded else {}

    def step() -> None:
        output = network(hidden, **others)
        if backward:
            (output[0] if isinstance(output, tuple) else output).sum().backward()

    return step
