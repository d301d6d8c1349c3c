"""Span masks of speech models with a fixed number of masked frames, and the features that they mask.

Shapes: B sounds, T samples, L frames, M masked frames a sound, H hidden.
"""

from typing import Any, NamedTuple

import torch
from torch import autograd, nn

FEATURE_GRADIENT = 0.1
"""What the convolutions' gradients are scaled by (Section 4.2 of wav2vec 2.0)."""
FEATURE_PENALTY = 10.0
"""Weight of the convolutions' mean squared output (`loss_weights` in the authors' recipes)."""


class MaskedSpeech(NamedTuple):
    """A forward pass through a masked speech model."""

    states: torch.Tensor
    """What the encoder makes of the masked frames (B, L, H)."""
    features: torch.Tensor
    """Normalised outputs of the convolutions, before the mask (B, L, H)."""
    penalty: torch.Tensor
    """Mean squared output of the convolutions."""


def masked_count(frames: int, probability: float, length: int) -> int:
    """Frames masked in each sound: as many as spans that may overlap mask on average.

    Raises:
        ValueError: the probability is out of range, or the sound too short for a span and for two masked frames.
    """
    if not 0 < probability < 1:
        raise ValueError(f"mask_ratio: expected a number between 0 and 1, got {probability}")
    if not 1 <= length <= frames:
        raise ValueError(f"mask_length: expected from 1 to the sound's {frames} frames, got {length}")
    return min(frames, max(2, round(frames * (1 - (1 - probability) ** length))))


def span_mask(
    batch: int, frames: int, *, probability: float, length: int, device: torch.device, count: int | None = None
) -> torch.Tensor:
    """Masked frames (B, M) of each sound, in order: spans that begin at a part of the frames and may overlap.

    As the authors draw them (compute_mask_indices of https://github.com/facebookresearch/fairseq), with one difference:
    theirs takes frames away until every sound of the batch has as many as the least, ours has the average number in
    every batch, taking frames away or adding some at random. So a step has one size, and is drawn on the device.

    Args:
        batch: sounds (B).
        frames: of each sound (L).
        probability: part of the frames at which a span begins.
        length: frames of a span.
        device: where it is drawn.
        count: frames to mask in each sound (M); None for `masked_count`.
    """
    spans = max(1, round(probability * frames))
    starts_BS = torch.rand(batch, frames - length + 1, device=device).topk(min(spans, frames - length + 1)).indices
    covered = (starts_BS.unsqueeze(-1) + torch.arange(length, device=device)).flatten(1)
    # Covered frames come first, in an order of their own, then the others.
    score_BL = torch.rand(batch, frames, device=device).scatter_add_(
        1, covered, torch.ones(1, 1, device=device).expand_as(covered)
    )
    chosen = score_BL.topk(masked_count(frames, probability, length) if count is None else count).indices
    return chosen.sort(dim=1).values


def at(values_BLH: torch.Tensor, frames_BM: torch.Tensor) -> torch.Tensor:
    """The values (B, M, H) at some frames of each sound."""
    return values_BLH.gather(1, frames_BM.unsqueeze(-1).expand(-1, -1, values_BLH.shape[-1]))


def masked_forward(model: Any, sound_BT: torch.Tensor, frames_BM: torch.Tensor) -> MaskedSpeech:
    """A forward pass of transformers' Wav2Vec2Model or HubertModel, with the mask's embedding at some frames.

    Its own forward takes a mask of booleans, whose number the host would have to wait for.
    """
    convolved = _ScaledGradient.apply(model.feature_extractor(sound_BT), FEATURE_GRADIENT)  # type: ignore[no-untyped-call]
    penalty = convolved.float().square().mean()
    projected = model.feature_projection(convolved.transpose(1, 2))
    # HuBERT's gives no normalised features, and needs none.
    hidden_BLH, features_BLH = projected if isinstance(projected, tuple) else (projected, projected)
    rows_B1 = torch.arange(sound_BT.shape[0], device=sound_BT.device).unsqueeze(1)
    hidden_BLH[rows_B1, frames_BM] = model.masked_spec_embed.to(hidden_BLH.dtype)
    return MaskedSpeech(model.encoder(hidden_BLH).last_hidden_state, features_BLH, penalty)


class _ScaledGradient(autograd.Function):
    """Nothing forward, a scale backward."""

    @staticmethod
    def forward(context: Any, values: torch.Tensor, scale: float) -> torch.Tensor:
        context.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] * context.scale, None


class States(nn.Module):
    """A speech model with one output, the states of every frame (B, L, H), as an export needs it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, sound_BT: torch.Tensor) -> torch.Tensor:
        """States (B, L, H)."""
        states: torch.Tensor = self.network(sound_BT).last_hidden_state
        return states
