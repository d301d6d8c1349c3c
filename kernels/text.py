"""What objectives on text share: language models of transformers by their head, and synthetic tokens.

Shapes: B sequences, L tokens.
"""

import inspect
from typing import Any

import torch
import transformers
from torch import nn
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_PRETRAINING_MAPPING_NAMES,
)

from sslbench.kernels.models import base_class, create
from sslbench.kernels.setup import Setup

_POSITIONS_AFTER_PADDING = frozenset(
    {
        "roberta",
        "xlm-roberta",
        "xlm-roberta-xl",
        "camembert",
        "roberta-prelayernorm",
        "longformer",
        "mpnet",
        "esm",
    }
)


def causal_lm(config: Any, *, attention: str) -> nn.Module:
    """The model of `config` with its next-token head.

    Raises:
        ValueError: this model type has none, or is an encoder, which sees the tokens that it would predict.
    """
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    if name is None or config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise ValueError(f"a model of type {config.model_type!r} is no causal LM: use a model such as gpt2-small")
    model = create(name, config, attention)
    # transformers takes it from the class's name, and remarks on GPT2LMHeadModel's
    model.loss_type = "ForCausalLM"  # type: ignore[assignment]
    return model


def sentence_pair_lm(config: Any, *, attention: str) -> nn.Module:
    """The model of `config` with its masked-LM and its next-sentence head.

    Raises:
        ValueError: this model type has no next-sentence head.
    """
    name = MODEL_FOR_PRETRAINING_MAPPING_NAMES.get(config.model_type)
    model_class = getattr(transformers, name) if isinstance(name, str) else None
    if model_class is None or "next_sentence_label" not in inspect.signature(model_class.forward).parameters:
        raise ValueError(
            f"nsp: a model of type {config.model_type!r} has no next-sentence head: use a model such as bert-base"
        )
    return create(model_class.__name__, config, attention)


def text_encoder(config: Any, *, attention: str) -> nn.Module:
    """The model of `config` without any head, nor the pooler that some have on the first token.

    Raises:
        ValueError: the model takes no tokens, or is no encoder.
    """
    model_class = base_class(config)
    if model_class is None or config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise ValueError(f"a model of type {config.model_type!r} is no text encoder: use a model such as bert-base")
    has_pooler = "add_pooling_layer" in inspect.signature(model_class).parameters
    return create(model_class.__name__, config, attention, **({"add_pooling_layer": False} if has_pooler else {}))


def check_length(model: str, config: Any, tokens: int, key: str = "seq_len") -> None:
    """A sequence has at most the model's positions.

    Raises:
        ValueError: it is longer; `key` says which size is too large.
    """
    positions = _positions(config)
    if positions is not None and tokens > positions:
        raise ValueError(f"{key}: {model} has {positions} positions, got {tokens}")


def _positions(config: Any) -> int | None:
    """Longest sequence; models like RoBERTa count positions from after the padding token's id."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and config.model_type in _POSITIONS_AFTER_PADDING:
        positions -= config.pad_token_id + 1
    return positions if isinstance(positions, int) else None


def synthetic_tokens(setup: Setup, vocab_size: int, seq_len: int) -> torch.Tensor:
    """Evenly distributed tokens (B, L); never token 0, [PAD] in BERT's vocabulary: models may drop it on sight."""
    return torch.randint(1, vocab_size, (setup.batch_size, seq_len), device=setup.device)


def synthetic_padding(setup: Setup, seq_len: int) -> torch.Tensor:
    """An attention mask (B, L) of sequences from half to full length, evenly spread: the work never varies."""
    shortest = (seq_len + 1) // 2
    length_B1 = torch.linspace(shortest, seq_len, setup.batch_size, device=setup.device).round().unsqueeze(1)
    return (torch.arange(seq_len, device=setup.device).unsqueeze(0) < length_B1).long()
