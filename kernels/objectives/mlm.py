"""Masked language modelling, the pretext task of BERT: predict the tokens that were hidden.

Paper: https://arxiv.org/abs/1810.04805, Section 3.1; the selection follows the authors' create_pretraining_data.py
(https://github.com/google-research/bert): a fixed number of tokens in every sequence, of which 80 % become [MASK],
10 % a random token and 10 % stay.

Shapes: B sequences, L tokens, V words in the vocabulary.
"""

from typing import Any

import torch
from torch import nn

from sslbench.kernels.models import checkpoint_activations, constructing, masked_lm, model_config
from sslbench.kernels.setup import Inference, Setup, Training

IGNORED = -100  # label of a token that has no part in the loss
MASK_TOKEN = 103  # [MASK] in the vocabulary of bert-base-uncased; which id it is changes no cost
MASKED, RANDOM = 0.8, 0.1


def train(setup: Setup, *, seq_len: int, mask_ratio: float = 0.15, padding: bool = False) -> Training:
    """Masked language modelling on synthetic tokens (B, L).

    Args:
        setup: model, batch and how it is run.
        seq_len: tokens a sequence (L).
        mask_ratio: part of the tokens that is selected.
        padding: sequences of different lengths with an attention mask; without it no mask is passed.

    Raises:
        ValueError: the model has no masked-LM head or fewer positions than `seq_len`, or a value is out of range.
    """
    if not 0 < mask_ratio < 1:
        raise ValueError(f"mask_ratio: expected a number between 0 and 1, got {mask_ratio}")
    network = _network(setup, seq_len)
    if setup.activation_checkpointing:
        checkpoint_activations(network)

    def loss(tokens_BL: torch.Tensor, attention_mask_BL: torch.Tensor | None = None) -> torch.Tensor:
        inputs_BL, labels_BL = mask_tokens(
            tokens_BL, mask_ratio=mask_ratio, vocab_size=network.config.vocab_size, attention_mask_BL=attention_mask_BL
        )
        output: torch.Tensor = network(input_ids=inputs_BL, attention_mask=attention_mask_BL, labels=labels_BL).loss
        return output

    return Training(
        network=network,
        inputs=_inputs(network.config, setup, seq_len, padding=padding),
        loss=loss,
        learning_rate=1e-4,
        weight_decay=0.01,
    )


def inference(setup: Setup, *, seq_len: int, padding: bool = False) -> Inference:
    """The model and its inputs: tokens (B, L), with `padding` an attention mask (B, L); gives logits (B, L, V).

    Raises:
        ValueError: as `train`.
    """
    network = _network(setup, seq_len)
    return _Logits(network).eval(), _inputs(network.config, setup, seq_len, padding=padding)


def mask_tokens(
    tokens_BL: torch.Tensor,
    *,
    mask_ratio: float,
    vocab_size: int,
    attention_mask_BL: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels, both (B, L), of a fresh selection: max(1, round(mask_ratio * L)) tokens of every sequence."""
    batch, length = tokens_BL.shape
    count = max(1, round(mask_ratio * length))
    score_BL = torch.rand(batch, length, device=tokens_BL.device)
    selected_BL = torch.zeros_like(tokens_BL, dtype=torch.bool).scatter_(1, score_BL.topk(count, dim=1).indices, True)
    if attention_mask_BL is not None:
        selected_BL &= attention_mask_BL.bool()
    fate_BL = torch.rand(batch, length, device=tokens_BL.device)
    random_BL = torch.randint_like(tokens_BL, vocab_size)
    inputs_BL = tokens_BL.masked_fill(selected_BL & (fate_BL < MASKED), min(MASK_TOKEN, vocab_size - 1))
    inputs_BL = torch.where(selected_BL & (fate_BL >= 1 - RANDOM), random_BL, inputs_BL)
    return inputs_BL, tokens_BL.masked_fill(~selected_BL, IGNORED)


class _Logits(nn.Module):
    """A masked-LM model with one output, as an export needs it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens_BL: torch.Tensor, attention_mask_BL: torch.Tensor | None = None) -> torch.Tensor:
        logits: torch.Tensor = self.network(input_ids=tokens_BL, attention_mask=attention_mask_BL).logits
        return logits


def _network(setup: Setup, seq_len: int) -> Any:
    config = model_config(setup.model)
    positions = _positions(config)
    if positions is not None and seq_len > positions:
        raise ValueError(f"seq_len: {setup.model} has {positions} positions, got {seq_len}")
    with constructing(setup.device, setup.weights):
        return masked_lm(config, attention=setup.attention)


def _positions(config: Any) -> int | None:
    """Longest sequence; models like RoBERTa count positions from after the padding token's id."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and config.model_type in _POSITIONS_AFTER_PADDING:
        positions -= config.pad_token_id + 1
    return positions if isinstance(positions, int) else None


_POSITIONS_AFTER_PADDING = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "roberta-prelayernorm",
    "longformer",
    "mpnet",
    "esm",
)


def _inputs(config: Any, setup: Setup, seq_len: int, *, padding: bool) -> tuple[torch.Tensor, ...]:
    batch, device = setup.batch_size, setup.device
    # From 1: token 0 is [PAD] in BERT's vocabulary, and models may drop it on sight.
    tokens_BL = torch.randint(1, config.vocab_size, (batch, seq_len), device=device)
    if not padding:
        return (tokens_BL,)
    # Evenly spread over half to full length, so that the work is the same in every run.
    shortest = (seq_len + 1) // 2
    length_B1 = torch.linspace(shortest, seq_len, batch, device=device).round().unsqueeze(1)
    return tokens_BL, (torch.arange(seq_len, device=device).unsqueeze(0) < length_B1).long()
