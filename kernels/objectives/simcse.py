"""Unsupervised SimCSE: a sentence attracts itself under another dropout mask, and repels the others of the batch.

Paper: https://arxiv.org/abs/2104.08821, Section 3: two passes over the same sentence, [CLS] and an MLP (a linear layer
and tanh) in training, [CLS] alone afterwards (Section 6.3); temperature 0.05, 64 sentences of 32 tokens, learning rate
3e-5 for BERT base (Appendix A). As in the authors' code (https://github.com/princeton-nlp/SimCSE), both passes are one
batch, the loss compares the first views with the second ones (not all with all, as NT-Xent does), and nothing decays.
Left out: the auxiliary masked-LM loss, which the paper finds no help on sentence similarity.

Shapes: N sentences, L tokens, H hidden features.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.models import checkpoint_activations, constructing, model_config
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.text import check_length, synthetic_padding, synthetic_tokens, text_encoder


def train(setup: Setup, *, seq_len: int, temperature: float = 0.05, padding: bool = False) -> Training:
    """SimCSE on synthetic sentences (N, L), each encoded twice.

    Args:
        setup: model, batch (N sentences) and how it is run.
        seq_len: tokens a sentence (L).
        temperature: of the cosine similarities.
        padding: sentences of different lengths with an attention mask; without it no mask is passed.

    Raises:
        ValueError: a batch of 1, a model that is no text encoder or has no dropout, a value out of range.
    """
    if setup.batch_size < 2:
        raise ValueError(
            f"batch_size: a sentence is compared with the others, so it needs at least 2, got {setup.batch_size}"
        )
    _check_temperature(temperature)
    encoder = _encoder(setup, seq_len)
    if not any(isinstance(module, nn.Dropout) and module.p > 0 for module in encoder.modules()):
        raise ValueError(f"model: two passes of {setup.model} do not differ, as it has no dropout: use bert-base")
    if setup.activation_checkpointing:
        checkpoint_activations(encoder)
    with constructing(setup.device, setup.weights):
        network = _SimCSE(encoder, encoder.config.hidden_size)

    def loss(tokens_NL: torch.Tensor, attention_mask_NL: torch.Tensor | None = None) -> torch.Tensor:
        mask_2NL = None if attention_mask_NL is None else attention_mask_NL.repeat(2, 1)
        first_NH, second_NH = network(tokens_NL.repeat(2, 1), mask_2NL).chunk(2)
        return info_nce(first_NH, second_NH, temperature)

    return Training(
        network=network, inputs=_inputs(encoder.config, setup, seq_len, padding), loss=loss, learning_rate=3e-5
    )


def inference(setup: Setup, *, seq_len: int, padding: bool = False) -> Inference:
    """The encoder (the MLP is thrown away) and its sentences (N, L); gives their embeddings (N, H).

    Raises:
        ValueError: as `train`.
    """
    encoder = _encoder(setup, seq_len)
    return _Embedding(encoder).eval(), _inputs(encoder.config, setup, seq_len, padding)


def info_nce(first_NH: torch.Tensor, second_NH: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over i of -log(exp(s_ii / t) / sum over j of exp(s_ij / t)): Equation 4 of https://arxiv.org/abs/2104.08821.

    Args:
        first_NH: embeddings of the sentences.
        second_NH: embeddings of the same sentences under another dropout mask; s_ij is the cosine similarity of first i
            and second j.
        temperature: t, above 0.

    Raises:
        ValueError: a temperature that is not above 0, or views of different shapes.
    """
    _check_temperature(temperature)
    if first_NH.shape != second_NH.shape:
        raise ValueError(f"views: expected two of one shape, got {tuple(first_NH.shape)} and {tuple(second_NH.shape)}")
    logits_NN = functional.normalize(first_NH, dim=1) @ functional.normalize(second_NH, dim=1).T / temperature
    itself_N = torch.arange(len(first_NH), device=first_NH.device)
    return functional.cross_entropy(logits_NN.float() if logits_NN.dtype.itemsize < 4 else logits_NN, itself_N)


class _Embedding(nn.Module):
    """A sentence's embedding (N, H): the last hidden state of its first token, [CLS]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tokens_NL: torch.Tensor, attention_mask_NL: torch.Tensor | None = None) -> torch.Tensor:
        hidden_NLH: torch.Tensor = self.encoder(input_ids=tokens_NL, attention_mask=attention_mask_NL).last_hidden_state
        return hidden_NLH[:, 0]


class _SimCSE(_Embedding):
    """The embedding through the MLP that only training has."""

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__(encoder)
        self.mlp = nn.Linear(width, width)

    def forward(self, tokens_NL: torch.Tensor, attention_mask_NL: torch.Tensor | None = None) -> torch.Tensor:
        return torch.tanh(self.mlp(super().forward(tokens_NL, attention_mask_NL)))


def _check_temperature(temperature: float) -> None:
    if temperature <= 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")


def _encoder(setup: Setup, seq_len: int) -> Any:
    config = model_config(setup.model)
    check_length(setup.model, config, seq_len)
    with constructing(setup.device, setup.weights):
        return text_encoder(config, attention=setup.attention)


def _inputs(config: Any, setup: Setup, seq_len: int, padding: bool) -> tuple[torch.Tensor, ...]:
    tokens_NL = synthetic_tokens(setup, config.vocab_size, seq_len)
    return (tokens_NL, synthetic_padding(setup, seq_len)) if padding else (tokens_NL,)
