"""Masked language modelling, the pretext task of BERT: predict the tokens that were hidden.

Papers: BERT https://arxiv.org/abs/1810.04805, Section 3.1 (selection: `sslbench.kernels.token_masking`; next sentence:
Task 2); RoBERTa https://arxiv.org/abs/1907.11692 (a fresh selection every step, no next sentence);
ModernBERT https://arxiv.org/abs/2412.13663. Whole words: the authors' release of May 2019,
https://github.com/google-research/bert.

The loss is that of transformers: the mean cross entropy over the selected tokens, plus that of the next sentence.

Shapes: B sequences, L tokens, K selected tokens, H hidden features, V words in the vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sslbench.kernels.models import checkpoint_activations, constructing, masked_lm, model_config
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.text import check_length, sentence_pair_lm, synthetic_padding, synthetic_tokens
from sslbench.kernels.token_masking import mask_tokens, selected_positions, selection_size, synthetic_words


def train(
    setup: Setup,
    *,
    seq_len: int,
    mask_ratio: float = 0.15,
    padding: bool = False,
    whole_word: bool = False,
    masked_logits_only: bool = False,
    nsp: bool = False,
) -> Training:
    """Masked language modelling on synthetic tokens (B, L).

    Args:
        setup: model, batch and how it is run.
        seq_len: tokens a sequence (L).
        mask_ratio: part of the tokens that is selected.
        padding: sequences of different lengths with an attention mask; without it no mask is passed.
        whole_word: select the tokens of whole words together.
        masked_logits_only: decode the K selected tokens alone, as the authors' code does, not all L.
        nsp: two segments in every sequence, and a second loss on whether one follows the other.

    Raises:
        ValueError: the model lacks a head or has fewer positions than `seq_len`, or a value is out of range.
    """
    if not 0 < mask_ratio < 1:
        raise ValueError(f"mask_ratio: expected a number between 0 and 1, got {mask_ratio}")
    network = _network(setup, seq_len, sentence_pairs=nsp)
    if setup.activation_checkpointing:
        checkpoint_activations(network)
    count = selection_size(seq_len, mask_ratio)
    batch = _batch(network.config, setup, seq_len, padding=padding, whole_word=whole_word, nsp=nsp)

    def loss(*inputs: torch.Tensor) -> torch.Tensor:
        given = dict(zip(batch, inputs, strict=True))
        given["input_ids"], labels_BL = mask_tokens(
            given["input_ids"],
            mask_ratio=mask_ratio,
            vocab_size=network.config.vocab_size,
            attention_mask_BL=given.get("attention_mask"),
            words_BL=given.pop("words", None),
        )
        if not masked_logits_only:
            return _loss(network, given, labels_BL)
        positions_BK = selected_positions(labels_BL, count)
        with _decoding_only(network, positions_BK):
            return _loss(network, given, labels_BL.gather(1, positions_BK))

    return Training(network=network, inputs=tuple(batch.values()), loss=loss, learning_rate=1e-4, weight_decay=0.01)


def inference(setup: Setup, *, seq_len: int, padding: bool = False) -> Inference:
    """The model and its inputs: tokens (B, L), with `padding` an attention mask (B, L); gives logits (B, L, V).

    Raises:
        ValueError: as `train`.
    """
    network = _network(setup, seq_len, sentence_pairs=False)
    batch = _batch(network.config, setup, seq_len, padding=padding, whole_word=False, nsp=False)
    return _Logits(network).eval(), tuple(batch.values())


class _Logits(nn.Module):
    """A masked-LM model with one output, as an export needs it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens_BL: torch.Tensor, attention_mask_BL: torch.Tensor | None = None) -> torch.Tensor:
        logits: torch.Tensor = self.network(input_ids=tokens_BL, attention_mask=attention_mask_BL).logits
        return logits


def _network(setup: Setup, seq_len: int, *, sentence_pairs: bool) -> Any:
    config = model_config(setup.model)
    check_length(setup.model, config, seq_len)
    with constructing(setup.device, setup.weights):
        return (sentence_pair_lm if sentence_pairs else masked_lm)(config, attention=setup.attention)


def _batch(
    config: Any, setup: Setup, seq_len: int, *, padding: bool, whole_word: bool, nsp: bool
) -> dict[str, torch.Tensor]:
    """The inputs by the names that transformers has for them, and `words` (B, L)."""
    batch = {"input_ids": synthetic_tokens(setup, config.vocab_size, seq_len)}
    if padding:
        batch["attention_mask"] = synthetic_padding(setup, seq_len)
    if whole_word:
        batch["words"] = synthetic_words(setup.batch_size, seq_len, setup.device)
    if nsp:
        # The second segment begins anywhere after the first token; every other one is a random sentence (label 1).
        place_L = torch.arange(seq_len, device=setup.device)
        border_B1 = 1 + (torch.rand(setup.batch_size, 1, device=setup.device) * (seq_len - 1)).long()
        batch["token_type_ids"] = (place_L >= border_B1).long()
        batch["next_sentence_label"] = torch.arange(setup.batch_size, device=setup.device) % 2
    return batch


def _loss(network: nn.Module, given: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    loss: torch.Tensor = network(**given, labels=labels).loss
    return loss


@contextmanager
def _decoding_only(network: Any, positions_BK: torch.Tensor) -> Iterator[None]:
    """Inside, the head of a model gets the hidden states (B, K, H) of these positions instead of all (B, L, H)."""

    def gather(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        hidden_BLH = output.last_hidden_state
        index_BKH = positions_BK.unsqueeze(-1).expand(-1, -1, hidden_BLH.shape[-1])
        output.last_hidden_state = hidden_BLH.gather(1, index_BKH)
        return output

    hook = network.base_model.register_forward_hook(gather)
    try:
        yield
    finally:
        hook.remove()
