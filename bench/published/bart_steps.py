"""NVIDIA's pre-training of BART. Factories: `bart_steps.py:NAME`, with options.

Source: https://github.com/NVIDIA/DeepLearningExamples/tree/master/PyTorch/LanguageModeling/BART
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers

from sslbench.kernels.step import float32_math

Step = Callable[[], None]


def pretraining(device: torch.device, *, batch_size: int = 32, seq_len: int = 512, precision: str = "bf16") -> Step:
    """One update of BART-large, whose encoder and decoder see as many tokens; AdamW stands for LAMB.

    Args:
        device: where it runs.
        batch_size: sequences (B).
        seq_len: tokens of either side (L).
        precision: `bf16` under autocast, or `tf32`.
    """
    config: Any = transformers.BartConfig()
    config._attn_implementation = "eager"
    with device:
        network: Any = transformers.BartForConditionalGeneration(config)
        ids = torch.zeros((batch_size, seq_len), dtype=torch.long)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, foreach=True)

    def step() -> None:
        with float32_math("tf32"):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
                loss = network(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return step
