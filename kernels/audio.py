"""What objectives on sound share: speech models of transformers, and synthetic sound.

Shapes: B sounds, T samples at 16 kHz, L frames (one for every 20 ms), H hidden.
"""

from typing import Any

import torch
from torch import nn

from sslbench.kernels.models import base_class, create
from sslbench.kernels.setup import Setup

SAMPLES_PER_SECOND = 16_000


class AudioEncoder(nn.Module):
    """Sound (B, T) to the average (B, H) of a speech model's last states, as SUPERB classifies utterances.

    https://arxiv.org/abs/2105.01051, Section 2.2.
    """

    def __init__(self, config: Any, attention: str) -> None:
        super().__init__()
        self.network = create(base_class(without_masks(config)).__name__, config, attention)

    def forward(self, sound_BT: torch.Tensor) -> torch.Tensor:
        """Averaged states (B, H)."""
        states: torch.Tensor = self.network(sound_BT).last_hidden_state
        return states.mean(dim=1)


def without_masks(config: Any) -> Any:
    """The config without SpecAugment, and so without the mask's embedding; every layer is run in every step."""
    config.mask_time_prob = config.mask_feature_prob = 0.0
    return with_all_layers(config)


def with_all_layers(config: Any) -> Any:
    """The config without layer drop, of which each step would be another one."""
    config.layerdrop = 0.0
    return config


def check_speech_model(config: Any, model_type: str) -> None:
    """Every pretext task on sound has its own architecture.

    Raises:
        ValueError: the model is of another type.
    """
    if config.model_type != model_type:
        expected = f"a model of type {model_type!r}, such as {model_type}-base"
        raise ValueError(f"model: expected {expected}, got one of type {config.model_type!r}")


def sample_count(config: Any, seconds: float) -> int:
    """Samples of a sound (T).

    Raises:
        ValueError: it is too short for one frame.
    """
    samples = round(seconds * SAMPLES_PER_SECOND)
    if frame_count(config, samples) < 1:
        shortest = 1
        for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
            shortest = (shortest - 1) * stride + kernel
        raise ValueError(
            f"seconds: expected at least {shortest / SAMPLES_PER_SECOND:.3g}, one frame of the model, got {seconds}"
        )
    return samples


def frame_count(config: Any, samples: int) -> int:
    """Frames (L) that the model's convolutions make of T samples; none of them is padded."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def synthetic_sound(setup: Setup, samples: int) -> torch.Tensor:
    """Normally distributed samples (B, T): speech models take every sound with mean 0 and variance 1."""
    return torch.randn(setup.batch_size, samples, device=setup.device, dtype=setup.dtype)
