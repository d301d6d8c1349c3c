"""HuBERT: predict the cluster of every masked frame.

Paper: https://arxiv.org/abs/2106.07447. Convolutions and a transformer over them with spans of frames masked, a
projection compared with an embedding of every cluster (Equation 3), cross-entropy over the masked frames (Section
II-B with alpha 1). Clusters come from k-means beforehand, so that they are an input: 100 in the first iteration, 500
in the second (Section IV-B). As in the authors' recipe (hubert_base_librispeech.yaml of
https://github.com/facebookresearch/fairseq) the convolutions' gradients are scaled by 0.1, and their mean squared
output is added with weight 10. Similarities are one matrix product of normalised vectors: the authors' code, which
holds a copy of every embedding for every frame, gives the same numbers from more memory. Layer drop is off, so that
every step is the same.

Shapes: B sounds, T samples at 16 kHz, L frames, M masked frames, C clusters, D projected.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.audio import check_speech_model, frame_count, sample_count, synthetic_sound, with_all_layers
from sslbench.kernels.models import base_class, checkpoint_activations, constructing, create, model_config
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.speech_masking import FEATURE_PENALTY, States, at, masked_count, masked_forward, span_mask


def train(
    setup: Setup,
    *,
    seconds: float = 15.6,
    mask_ratio: float = 0.08,
    mask_length: int = 10,
    clusters: int = 500,
    projection_dim: int = 256,
    temperature: float = 0.1,
) -> Training:
    """HuBERT on synthetic sound (B, T) with synthetic clusters (B, L).

    Args:
        setup: model, batch and how it is run.
        seconds: length of a sound, at 16 kHz; the paper's crops have 250,000 samples.
        mask_ratio: part of the frames at which a masked span begins.
        mask_length: frames of a span.
        clusters: of k-means (C).
        projection_dim: width of the comparison (D).
        temperature: of the similarities.

    Raises:
        ValueError: the model is no HuBERT, the sound is too short, or a value is out of range.
    """
    _check(clusters, projection_dim, temperature)
    config = _config(setup)
    samples = sample_count(config, seconds)
    frames = frame_count(config, samples)
    masked = masked_count(frames, mask_ratio, mask_length)
    config.mask_time_prob = mask_ratio  # else there is no embedding of the mask
    with constructing(setup.device, setup.weights):
        network = _HuBERT(config, setup.attention, clusters, projection_dim)
    network.to(setup.device, setup.dtype)  # transformers makes the mask's embedding on the host
    if setup.activation_checkpointing:
        checkpoint_activations(network.encoder)

    def loss(sound_BT: torch.Tensor, clusters_BL: torch.Tensor) -> torch.Tensor:
        frames_BM = span_mask(
            len(sound_BT), frames, probability=mask_ratio, length=mask_length, device=sound_BT.device, count=masked
        )
        speech = masked_forward(network.encoder, sound_BT, frames_BM)
        projected_BMD = network.projection(at(speech.states, frames_BM))
        right_BM = clusters_BL.gather(1, frames_BM)
        return cluster_loss(projected_BMD, network.embeddings, right_BM, temperature) + FEATURE_PENALTY * speech.penalty

    return Training(
        network=network,
        inputs=(
            synthetic_sound(setup, samples),
            torch.randint(clusters, (setup.batch_size, frames), device=setup.device),
        ),
        loss=loss,
        learning_rate=5e-4,
        betas=(0.9, 0.98),
        weight_decay=0.01,
    )


def inference(setup: Setup, *, seconds: float = 15.6) -> Inference:
    """The model without projection and embeddings, and its input (B, T); gives the states of every frame (B, L, H).

    Raises:
        ValueError: as `train`.
    """
    config = _config(setup)
    samples = sample_count(config, seconds)
    config.mask_time_prob = config.mask_feature_prob = 0.0
    with constructing(setup.device, setup.weights):
        network = create(base_class(config).__name__, config, setup.attention)
    return States(network).eval(), (synthetic_sound(setup, samples),)


def cluster_loss(
    projected_BMD: torch.Tensor, embeddings_CD: torch.Tensor, right_BM: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Mean cross-entropy of softmax(cosine similarity / temperature) over the clusters; Equation 3 of the paper."""
    # In fp32, as the authors compute it under mixed precision; autocast would take the product back to half.
    with torch.autocast(projected_BMD.device.type, enabled=False):
        unit_BMD = functional.normalize(projected_BMD.float(), dim=-1)
        unit_CD = functional.normalize(embeddings_CD.float(), dim=-1)
        logits_BMC = unit_BMD @ unit_CD.T / temperature
        return functional.cross_entropy(logits_BMC.flatten(0, 1), right_BM.flatten())


class _HuBERT(nn.Module):
    """Encoder, projection and the clusters' embeddings."""

    def __init__(self, config: Any, attention: str, clusters: int, projection_dim: int) -> None:
        super().__init__()
        self.encoder = create(base_class(config).__name__, config, attention)
        self.projection = nn.Linear(config.hidden_size, projection_dim)
        self.embeddings = nn.Parameter(torch.rand(clusters, projection_dim))


def _config(setup: Setup) -> Any:
    config = with_all_layers(model_config(setup.model))
    check_speech_model(config, "hubert")
    return config


def _check(clusters: int, projection_dim: int, temperature: float) -> None:
    for key, value, least in (("clusters", clusters, 2), ("projection_dim", projection_dim, 1)):
        if value < least:
            raise ValueError(f"{key}: expected at least {least}, got {value}")
    if temperature <= 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
