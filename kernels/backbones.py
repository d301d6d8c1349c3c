"""What the second stage stands on: a backbone for images, text or sound, and its synthetic inputs.

Shapes: N samples, F features.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from sslbench.kernels.audio import AudioEncoder, sample_count, synthetic_sound
from sslbench.kernels.encoders import image_encoder, synthetic_images
from sslbench.kernels.model_tables import timm_name
from sslbench.kernels.models import base_class, checkpoint_activations, constructing, model_config
from sslbench.kernels.setup import Setup
from sslbench.kernels.text import check_length, synthetic_tokens, text_encoder
from sslbench.kernels.timm_models import timm_channels

Modality = Literal["image", "text", "audio"]

_BY_INPUT: dict[str, Modality] = {"pixel_values": "image", "input_ids": "text", "input_values": "audio"}
_SIZE: dict[Modality, str] = {"image": "image_size", "text": "seq_len", "audio": "seconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Size of a sample; a model takes one of the three."""

    image_size: int | None = None
    """Height and width of an image, in pixels."""
    seq_len: int | None = None
    """Tokens of a sequence."""
    seconds: float | None = None
    """Length of a sound, at 16 kHz."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A model without a head, and one synthetic batch for it."""

    encoder: nn.Module
    """The batch to pooled features (N, F)."""
    features: int
    inputs: torch.Tensor


def modality_of(setup: Setup, sizes: Sizes) -> Modality:
    """What the setup's model takes, with its size there and no other.

    Raises:
        ValueError: the model takes neither images nor text nor sound, or a size is missing or too many.
    """
    modality = _modality(setup.model)
    for kind, key in _SIZE.items():
        given = getattr(sizes, key) is not None
        if kind == modality and not given:
            raise ValueError(f"{key} is missing: {setup.model} is a model for {_NOUN[modality]}")
        if kind != modality and given:
            raise ValueError(f"{key}: {setup.model} is a model for {_NOUN[modality]}, and takes {_SIZE[modality]}")
    return modality


_NOUN: dict[Modality, str] = {"image": "images", "text": "text", "audio": "sound"}


def _modality(model: str) -> Modality:
    if timm_name(model) is not None:
        return "image"
    config = model_config(model)
    modality = _BY_INPUT.get(getattr(base_class(config), "main_input_name", ""))
    if modality is None or hasattr(config, "text_config"):  # two towers have no one feature
        raise ValueError(f"a model of type {config.model_type!r} is no encoder of images, text or sound alone")
    return modality


def backbone(setup: Setup, sizes: Sizes) -> Backbone:
    """The setup's model without a head, for images, text or sound.

    Raises:
        ValueError: as `modality_of`; or the size does not suit the model.
    """
    modality = modality_of(setup, sizes)
    inputs = synthetic_inputs(setup, modality, sizes)
    if modality == "image":
        encoder: Any = image_encoder(setup, image_size=sizes.image_size or 0)
        return Backbone(encoder, encoder.features, inputs)
    config = model_config(setup.model)
    with constructing(setup.device, setup.weights):
        encoder = _TextEncoder(config, setup.attention) if modality == "text" else AudioEncoder(config, setup.attention)
    if setup.activation_checkpointing:
        checkpoint_activations(encoder.network)
    return Backbone(encoder, config.hidden_size, inputs)


def synthetic_inputs(setup: Setup, modality: Modality, sizes: Sizes) -> torch.Tensor:
    """One batch of images (N, C, S, S), tokens (N, L) or sound (N, T).

    Raises:
        ValueError: more tokens than the model has positions, or a sound too short for it.
    """
    if modality == "image":
        return synthetic_images(setup, setup.batch_size, _channels(setup.model), sizes.image_size or 0)
    config = model_config(setup.model)
    if modality == "text":
        length = sizes.seq_len or 0
        check_length(setup.model, config, length)
        return synthetic_tokens(setup, config.vocab_size, length)
    return synthetic_sound(setup, sample_count(config, sizes.seconds or 0.0))


def _channels(model: str) -> int:
    name = timm_name(model)
    return int(model_config(model).num_channels) if name is None else timm_channels(name)


class _TextEncoder(nn.Module):
    """Tokens (N, L) to the last layer's first token (N, F), as BERT is used for a whole sequence."""

    def __init__(self, config: Any, attention: str) -> None:
        super().__init__()
        self.network = text_encoder(config, attention=attention)

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.network(input_ids=tokens_BL).last_hidden_state
        return states[:, 0]
