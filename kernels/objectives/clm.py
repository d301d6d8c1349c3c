"""Causal language modelling, the pretext task of GPT and Llama: predict the next token.

Papers: GPT-2 https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
(which states no learning rate: those of GPT-3's models of the same size, Table 2.1 of https://arxiv.org/abs/2005.14165,
stand in), LLaMA https://arxiv.org/abs/2302.13971, Section 2.

The loss is that of transformers: the mean cross entropy, in fp32, of every token but the first, given those before it.
Without dropout of whole documents or packing masks: a sequence is one stretch of text.

Shapes: B sequences, L tokens, N new tokens, V words in the vocabulary.
"""

from typing import Any

import torch
from torch import nn

from sslbench.kernels.models import checkpoint_activations, constructing, model_config
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.text import causal_lm, check_length, synthetic_tokens


def train(setup: Setup, *, seq_len: int) -> Training:
    """Next-token prediction on synthetic tokens (B, L).

    Args:
        setup: model, batch and how it is run.
        seq_len: tokens a sequence (L), of which L - 1 are predicted.

    Raises:
        ValueError: the model is no causal LM, or has fewer positions than `seq_len`; a sequence of one token.
    """
    if seq_len < 2:
        raise ValueError(f"seq_len: a token is predicted from those before it, so it takes at least 2, got {seq_len}")
    network = _network(setup, seq_len)
    if setup.activation_checkpointing:
        checkpoint_activations(network)

    def loss(tokens_BL: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = network(input_ids=tokens_BL, labels=tokens_BL, use_cache=False).loss
        return value

    return Training(
        network=network,
        inputs=(synthetic_tokens(setup, network.config.vocab_size, seq_len),),
        loss=loss,
        learning_rate=3e-4,
        betas=(0.9, 0.95),  # as GPT-3 and LLaMA have it
        weight_decay=0.1,
    )


def inference(setup: Setup, *, seq_len: int, new_tokens: int = 0) -> Inference:
    """The model and a prompt (B, L): logits of every token (B, L, V), or with `new_tokens` what it writes (B, N).

    Args:
        setup: model, batch and how it is run.
        seq_len: tokens of the prompt (L).
        new_tokens: N, written greedily with a key-value cache. The first comes from the forward pass over the prompt,
            of which only the last logits are computed; every other from a pass over one token. So a step with 1 lasts
            the time to the first token, and one with N that and N - 1 times the time of a token.

    Raises:
        ValueError: as `train`; prompt and answer exceed the model's positions.
    """
    if new_tokens < 0:
        raise ValueError(f"new_tokens: expected 0 (logits of the prompt) or a positive integer, got {new_tokens}")
    network = _network(setup, seq_len, new_tokens)
    module = _Written(network, new_tokens) if new_tokens else _Logits(network)
    return module.eval(), (synthetic_tokens(setup, network.config.vocab_size, seq_len),)


class _Logits(nn.Module):
    """Logits of a whole text, as for its perplexity."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        logits_BLV: torch.Tensor = self.network(input_ids=tokens_BL, use_cache=False).logits
        return logits_BLV


class _Written(nn.Module):
    """What a model writes after a prompt: greedy, from a cache that grows by a token a pass; no end of text."""

    def __init__(self, network: nn.Module, new_tokens: int) -> None:
        super().__init__()
        self.network = network
        self.new_tokens = new_tokens

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        written: list[torch.Tensor] = []
        last_BL, cache = tokens_BL, None
        for _ in range(self.new_tokens):
            output = self.network(input_ids=last_BL, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = output.past_key_values
            last_BL = output.logits[:, -1].argmax(dim=-1, keepdim=True)
            written.append(last_BL)
        return torch.cat(written, dim=1)


def _network(setup: Setup, seq_len: int, new_tokens: int = 0) -> Any:
    config = model_config(setup.model)
    check_length(setup.model, config, seq_len)
    # The last token that is written is not read again.
    check_length(setup.model, config, seq_len + max(0, new_tokens - 1), key="seq_len and new_tokens")
    with constructing(setup.device, setup.weights):
        return causal_lm(config, attention=setup.attention)
