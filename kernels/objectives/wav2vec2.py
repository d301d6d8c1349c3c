"""wav2vec 2.0: tell the quantised features of a masked frame from those of other masked frames.

Paper: https://arxiv.org/abs/2006.11477. Convolutions, a transformer over them with spans of frames masked
(Section 3.1), a product quantiser with Gumbel noise (Section 2), the contrastive loss over 100 distractors and the
diversity loss (Section 3.2). As in the authors' recipe (wav2vec2_base_librispeech.yaml of
https://github.com/facebookresearch/fairseq) only masked frames are quantised, the convolutions' gradients are scaled by
0.1, and their mean squared output is added with weight 10. The architecture is that of transformers'
Wav2Vec2ForPreTraining; layer drop is off, so that every step is the same.

Shapes: B sounds, T samples at 16 kHz, L frames, M masked frames, K distractors, D projected.
"""

from typing import Any

import torch
from torch.nn import functional

from sslbench.kernels.audio import check_speech_model, frame_count, sample_count, synthetic_sound, with_all_layers
from sslbench.kernels.models import base_class, checkpoint_activations, constructing, create, model_config
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.speech_masking import FEATURE_PENALTY, States, at, masked_count, masked_forward, span_mask


def train(
    setup: Setup,
    *,
    seconds: float = 15.6,
    mask_ratio: float = 0.065,
    mask_length: int = 10,
    distractors: int = 100,
    temperature: float = 0.1,
    gumbel_temperature: float = 2.0,
    diversity: float = 0.1,
) -> Training:
    """wav2vec 2.0 on synthetic sound (B, T).

    Args:
        setup: model, batch and how it is run.
        seconds: length of a sound, at 16 kHz; the paper's crops have 250,000 samples.
        mask_ratio: part of the frames at which a masked span begins.
        mask_length: frames of a span.
        distractors: wrong answers for every masked frame (K).
        temperature: of the contrastive loss.
        gumbel_temperature: of the quantiser; the paper lowers it from 2 to 0.5, at the same cost.
        diversity: weight of the diversity loss.

    Raises:
        ValueError: the model is no wav2vec 2.0, the sound is too short, or a value is out of range.
    """
    _check(distractors, temperature, gumbel_temperature)
    config = _config(setup)
    samples = sample_count(config, seconds)
    frames = frame_count(config, samples)
    masked = masked_count(frames, mask_ratio, mask_length)
    config.mask_time_prob = mask_ratio  # else there is no embedding of the mask
    with constructing(setup.device, setup.weights):
        network: Any = create("Wav2Vec2ForPreTraining", config, setup.attention)
    # transformers makes the mask's embedding and the codebook on the host, in fp32
    network.to(setup.device, setup.dtype)
    network.set_gumbel_temperature(gumbel_temperature)
    if setup.activation_checkpointing:
        checkpoint_activations(network)

    def loss(sound_BT: torch.Tensor) -> torch.Tensor:
        frames_BM = span_mask(
            len(sound_BT), frames, probability=mask_ratio, length=mask_length, device=sound_BT.device, count=masked
        )
        others_BMK = other_frames(len(sound_BT), masked, distractors, sound_BT.device)
        return pretraining_loss(network, sound_BT, frames_BM, others_BMK, temperature=temperature, diversity=diversity)

    return Training(
        network=network,
        inputs=(synthetic_sound(setup, samples),),
        loss=loss,
        learning_rate=5e-4,
        betas=(0.9, 0.98),
        weight_decay=0.01,
    )


def inference(setup: Setup, *, seconds: float = 15.6) -> Inference:
    """The model without quantiser and projections, and its input (B, T); gives the states of every frame (B, L, H).

    Raises:
        ValueError: as `train`.
    """
    config = _config(setup)
    samples = sample_count(config, seconds)
    config.mask_time_prob = config.mask_feature_prob = 0.0
    with constructing(setup.device, setup.weights):
        network = create(base_class(config).__name__, config, setup.attention)
    return States(network).eval(), (synthetic_sound(setup, samples),)


def pretraining_loss(
    network: Any,
    sound_BT: torch.Tensor,
    frames_BM: torch.Tensor,
    others_BMK: torch.Tensor,
    *,
    temperature: float,
    diversity: float,
) -> torch.Tensor:
    """The mean contrastive loss of the masked frames, with diversity loss and feature penalty.

    Args:
        network: transformers' Wav2Vec2ForPreTraining.
        sound_BT: sound.
        frames_BM: masked frames.
        others_BMK: places in `frames_BM` of every masked frame's distractors.
        temperature: of the contrastive loss.
        diversity: weight of the diversity loss.
    """
    speech = masked_forward(network.wav2vec2, sound_BT, frames_BM)
    predicted_BMD = network.project_hid(at(speech.states, frames_BM))
    quantised, perplexity = network.quantizer(network.dropout_features(at(speech.features, frames_BM)))
    target_BMD = network.project_q(quantised)
    entries = network.quantizer.num_groups * network.quantizer.num_vars
    unused: torch.Tensor = (entries - perplexity) / entries
    contrast = contrastive_loss(predicted_BMD, target_BMD, others_BMK, temperature)
    return contrast + diversity * unused + FEATURE_PENALTY * speech.penalty


def contrastive_loss(
    predicted_BMD: torch.Tensor, target_BMD: torch.Tensor, others_BMK: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Mean over masked frames of -log(exp(s(c, q) / t) / sum over q' of exp(s(c, q') / t)); Equation 3 of the paper.

    s is the cosine similarity; q' runs over the frame's own quantised features and its distractors', without those that
    are equal to its own.
    """
    batch, masked, width = target_BMD.shape
    rows_B11 = torch.arange(batch, device=target_BMD.device).view(-1, 1, 1)
    distractor_KBMD = target_BMD.flatten(0, 1)[(rows_B11 * masked + others_BMK).flatten()]
    distractor_KBMD = distractor_KBMD.view(batch, masked, -1, width).permute(2, 0, 1, 3)
    same_KBM = (target_BMD == distractor_KBMD).all(-1)
    candidates = torch.cat([target_BMD.unsqueeze(0), distractor_KBMD])
    # In fp32, as the authors compute it under mixed precision.
    logits = functional.cosine_similarity(predicted_BMD.float(), candidates.float(), dim=-1) / temperature
    excluded = torch.cat([torch.zeros_like(same_KBM[:1]), same_KBM])
    logits = logits.masked_fill(excluded, -torch.inf).flatten(1).T
    return functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def other_frames(batch: int, masked: int, distractors: int, device: torch.device) -> torch.Tensor:
    """For every masked frame (B, M, K) places of other masked frames of the same sound, drawn with replacement."""
    drawn_BMK = torch.randint(masked - 1, (batch, masked, distractors), device=device)
    return drawn_BMK + (drawn_BMK >= torch.arange(masked, device=device).view(1, -1, 1)).long()


def _config(setup: Setup) -> Any:
    config = with_all_layers(model_config(setup.model))
    check_speech_model(config, "wav2vec2")
    return config


def _check(distractors: int, temperature: float, gumbel_temperature: float) -> None:
    if distractors < 1:
        raise ValueError(f"distractors: expected a positive integer, got {distractors}")
    for key, value in (("temperature", temperature), ("gumbel_temperature", gumbel_temperature)):
        if value <= 0:
            raise ValueError(f"{key}: expected a number above 0, got {value}")
