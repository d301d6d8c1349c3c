"""Contrast images with their captions: CLIP, and with `loss = "sigmoid"` SigLIP.

CLIP: https://arxiv.org/abs/2103.00020. Two towers, a linear projection each, a symmetric cross-entropy over the batch
with a learned temperature that starts at 0.07 and never scales logits by more than 100 (Sections 2.3, 2.5, Figure 3);
learning rate 5e-4, weight decay 0.2 (Tables 18 and 20).
SigLIP: https://arxiv.org/abs/2303.15343. Each of the N * N pairs is a binary choice, with a learned temperature that
starts at 10 and a bias that starts at -10 (Section 3.2, Algorithm 1); learning rate 1e-3, weight decay 1e-4 (Section
4).

The batch is that of one device: nothing is gathered from others.

Shapes: N pairs, C channels, S pixels, L tokens, D embedding.
"""

import math
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.data.augmentation import CLIP
from sslbench.kernels.encoders import fit_image_size, laid_out, synthetic_images
from sslbench.kernels.models import base_class, checkpoint_activations, constructing, create, model_config
from sslbench.kernels.setup import Inference, Setup, Training

Loss = Literal["softmax", "sigmoid"]
_MODELS = ("clip", "siglip")
_LARGEST_SCALE = 100.0
_HALF = (torch.float16, torch.bfloat16)


def train(setup: Setup, *, image_size: int, seq_len: int = 77, loss: Loss = "softmax") -> Training:
    """Contrastive learning on synthetic images (N, C, S, S) and captions (N, L).

    Args:
        setup: model, batch (N pairs) and how it is run.
        image_size: height and width in pixels (S).
        seq_len: tokens a caption (L), padded or cut to this length; no mask hides the padding.
        loss: `softmax`, CLIP's, or `sigmoid`, SigLIP's.

    Raises:
        ValueError: a batch of 1 (no pair that does not belong together), a model without a text or an image tower,
            patches that do not divide the image, more tokens than positions.
    """
    if setup.batch_size < 2:
        raise ValueError(
            f"batch_size: a caption is compared with those of other images, so it needs at least 2, "
            f"got {setup.batch_size}"
        )
    network = _network(setup, image_size, seq_len)
    with constructing(setup.device, setup.weights):
        _set_scale(network, loss)
    if setup.activation_checkpointing:
        checkpoint_activations(network)
    laid_out(network, setup)

    def compute(images: torch.Tensor, tokens_NL: torch.Tensor) -> torch.Tensor:
        image_ND, text_ND = _embed(network, images, tokens_NL)
        if loss == "sigmoid":
            return sigmoid_loss(image_ND, text_ND, network.logit_scale, network.logit_bias)
        return softmax_loss(image_ND, text_ND, network.logit_scale)

    def clip_scale() -> None:
        network.logit_scale.clamp_(max=math.log(_LARGEST_SCALE))

    return Training(
        network=network,
        inputs=_inputs(network.config, setup, image_size, seq_len),
        loss=compute,
        learning_rate=5e-4 if loss == "softmax" else 1e-3,
        betas=(0.9, 0.98 if loss == "softmax" else 0.95),
        weight_decay=0.2 if loss == "softmax" else 1e-4,
        after_update=clip_scale if loss == "softmax" else None,
        augmentations=CLIP,
    )


def inference(setup: Setup, *, image_size: int, seq_len: int = 77) -> Inference:
    """Both towers, and images (N, C, S, S) and captions (N, L); gives (N, 2 D): the image's embedding, then the text's.

    Raises:
        ValueError: as `train`.
    """
    network = _network(setup, image_size, seq_len)
    return laid_out(_Embeddings(network), setup).eval(), _inputs(network.config, setup, image_size, seq_len)


def softmax_loss(image_ND: torch.Tensor, text_ND: torch.Tensor, logit_scale: torch.Tensor) -> torch.Tensor:
    """Mean of the cross-entropies of captions given images and of images given captions; Figure 3 of CLIP.

    Args:
        image_ND: unit vectors; row i belongs to row i of the captions.
        text_ND: unit vectors.
        logit_scale: logarithm of the inverse temperature, a scalar.
    """
    logits_NN = _whole(logit_scale.exp() * image_ND @ text_ND.T)
    own_N = torch.arange(len(logits_NN), device=logits_NN.device)
    return (functional.cross_entropy(logits_NN, own_N) + functional.cross_entropy(logits_NN.T, own_N)) / 2


def sigmoid_loss(
    image_ND: torch.Tensor, text_ND: torch.Tensor, logit_scale: torch.Tensor, logit_bias: torch.Tensor
) -> torch.Tensor:
    """Sum over all pairs of -log sigmoid(z * (t * x y + b)), over N; Algorithm 1 of SigLIP.

    z is 1 for an image and its own caption, -1 for any other.

    Args:
        image_ND: unit vectors; row i belongs to row i of the captions.
        text_ND: unit vectors.
        logit_scale: logarithm of t, a scalar.
        logit_bias: b, a scalar.
    """
    logits_NN = _whole(logit_scale.exp() * image_ND @ text_ND.T) + logit_bias
    pairs = len(logits_NN)
    labels_NN = 2 * torch.eye(pairs, device=logits_NN.device, dtype=logits_NN.dtype) - 1
    return -functional.logsigmoid(labels_NN * logits_NN).sum() / pairs


def _whole(logits_NN: torch.Tensor) -> torch.Tensor:
    """Logits in fp32: those of half precision near 100 are half a unit apart."""
    return logits_NN.float() if logits_NN.dtype in _HALF else logits_NN


class _Embeddings(nn.Module):
    """Both towers with one output, as an export needs it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor, tokens_NL: torch.Tensor) -> torch.Tensor:
        return torch.cat(_embed(self.network, images, tokens_NL), dim=1)


def _embed(network: Any, images: torch.Tensor, tokens_NL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of images and captions, unit vectors (N, D) each."""
    image_ND = network.get_image_features(pixel_values=images).pooler_output
    text_ND = network.get_text_features(input_ids=tokens_NL).pooler_output
    return functional.normalize(image_ND, dim=-1), functional.normalize(text_ND, dim=-1)


def _network(setup: Setup, image_size: int, seq_len: int) -> Any:
    config = model_config(setup.model)
    if config.model_type not in _MODELS:
        missing = (
            "text tower" if getattr(base_class(config), "main_input_name", "") == "pixel_values" else "image tower"
        )
        raise ValueError(
            f"clip needs an image and a text tower; a model of type {config.model_type!r} has no {missing}: "
            "use a model such as clip-vit-b-32"
        )
    fit_image_size(config.vision_config, image_size)
    positions = config.text_config.max_position_embeddings
    if seq_len > positions:
        raise ValueError(f"seq_len: the text tower of {setup.model} has {positions} positions, got {seq_len}")
    config._attn_implementation = setup.attention  # of both towers
    with constructing(setup.device, setup.weights):
        return create(base_class(config).__name__, config, setup.attention)


def _set_scale(network: Any, loss: Loss) -> None:
    """The loss's learned scalars at their start; a network has those that its loss uses and no other."""
    start = math.log(1 / 0.07) if loss == "softmax" else math.log(10.0)
    network.logit_scale = nn.Parameter(torch.tensor(start))
    if loss == "sigmoid":
        network.logit_bias = nn.Parameter(torch.tensor(-10.0))
    elif hasattr(network, "logit_bias"):
        del network.logit_bias


def _inputs(config: Any, setup: Setup, image_size: int, seq_len: int) -> tuple[torch.Tensor, ...]:
    """Images, and captions that end in their last token, from which CLIP's text tower takes its feature."""
    vocabulary, end = config.text_config.vocab_size, _end_token(config)
    shape = (setup.batch_size, seq_len)
    tokens_NL = torch.randint(vocabulary - 1, shape, device=setup.device)
    tokens_NL += tokens_NL >= end  # every token but the one that ends a caption
    tokens_NL[:, -1] = end
    channels = config.vision_config.num_channels
    return synthetic_images(setup, setup.batch_size, channels, image_size), tokens_NL


def _end_token(config: Any) -> int:
    """The token that ends a caption; for models saved with 2 it is the last of the vocabulary (transformers #24773)."""
    vocabulary, end = config.text_config.vocab_size, config.text_config.eos_token_id
    if config.model_type != "clip" or end == 2:  # SigLIP takes the last place, whatever stands there
        return int(vocabulary) - 1
    if not isinstance(end, int) or not 0 <= end < vocabulary:
        raise ValueError(f"text_config.eos_token_id: expected a token of the vocabulary of {vocabulary}, got {end!r}")
    return end
