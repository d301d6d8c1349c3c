"""Masked autoencoder: hide most of an image before the encoder, and let a light decoder predict its pixels.

Paper: https://arxiv.org/abs/2111.06377. 75 % of the patches are dropped (Section 3), the encoder sees the rest, a
decoder of 8 blocks of 512 (Section 4.1) gets mask tokens as well; mean squared error on hidden patches of pixels
normalised by patch (Section 3, "Reconstruction target"); learning rate 1.5e-4 * batch / 256, weight decay 0.05
(Appendix A.1, Table 8).

The network and its loss are those of transformers, which follow https://github.com/facebookresearch/mae; what is set
here are the fixed positions, which transformers leaves at zero in a model that is not downloaded.

Shapes: B images, C channels, S pixels, P pixels of a patch a side, G = S / P, L = G * G patches, F features.
"""

from typing import Any

import torch
from transformers import ViTConfig, ViTMAEConfig

from sslbench.kernels.data.augmentation import MAE
from sslbench.kernels.encoders import ImageEncoder, fit_image_size, laid_out, synthetic_images
from sslbench.kernels.models import checkpoint_activations, constructing, create, model_config
from sslbench.kernels.setup import Inference, Setup, Training

_MODELS = ("vit", "vit_mae")
_SHARED = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "layer_norm_eps",
    "patch_size",
    "num_channels",
    "qkv_bias",
)


def train(
    setup: Setup,
    *,
    image_size: int,
    mask_ratio: float = 0.75,
    normalize_pixels: bool = True,
    decoder_dim: int | None = None,
    decoder_depth: int | None = None,
    decoder_heads: int | None = None,
) -> Training:
    """Masked autoencoding of synthetic images (B, C, S, S); a fresh mask is drawn on the device in every step.

    Args:
        setup: model, batch and how it is run.
        image_size: height and width in pixels (S).
        mask_ratio: part of the patches that the encoder does not see; int(L * (1 - ratio)) are left.
        normalize_pixels: predict pixels less their patch's mean, over its standard deviation.
        decoder_dim: width of the decoder; its MLP is four times as wide. None: the model's own, or the paper's 512.
        decoder_depth: blocks of the decoder. None: the model's own, or 8.
        decoder_heads: attention heads of the decoder. None: the model's own, or 16.

    Raises:
        ValueError: the model is no ViT, its patches do not divide the image, or a value is out of range.
    """
    config = _config(setup, image_size)
    _set_decoder(config, decoder_dim, decoder_depth, decoder_heads)
    _check_ratio(mask_ratio, (image_size // config.patch_size) ** 2)
    config.mask_ratio = mask_ratio
    config.norm_pix_loss = normalize_pixels
    with constructing(setup.device, setup.weights):
        network: Any = create("ViTMAEForPreTraining", config, setup.attention)
        _set_positions(network, image_size // config.patch_size)
    if setup.activation_checkpointing:
        checkpoint_activations(network)
    laid_out(network, setup)

    def loss(images: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = network(pixel_values=images).loss
        return value

    return Training(
        network=network,
        inputs=(synthetic_images(setup, setup.batch_size, config.num_channels, image_size),),
        loss=loss,
        learning_rate=1.5e-4 * setup.samples / 256,
        betas=(0.9, 0.95),  # Table 8 of the paper
        weight_decay=0.05,
        augmentations=MAE,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The encoder on whole images (B, C, S, S), without mask and decoder; gives the class token's features (B, F).

    Raises:
        ValueError: as `train`.
    """
    config = ViTConfig(**_shared(_config(setup, image_size)), image_size=image_size)
    with constructing(setup.device, setup.weights):
        network = create("ViTModel", config, setup.attention, add_pooling_layer=False)
    encoder = ImageEncoder(
        network,
        features=config.hidden_size,
        channels=config.num_channels,
        image_size=image_size,
        interpolates=True,
    )
    return laid_out(encoder, setup).eval(), (
        synthetic_images(setup, setup.batch_size, config.num_channels, image_size),
    )


def sine_cosine_positions(grid: int, width: int) -> torch.Tensor:
    """Fixed positions (1, G * G + 1, width), zero for the class token; the column makes the first half.

    Appendix A.1 of the paper; `get_2d_sincos_pos_embed` of the authors' util/pos_embed.py.

    Raises:
        ValueError: the width is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"sine-cosine positions need a width that is a multiple of 4, got {width}")
    frequency = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    place = torch.arange(grid * grid)
    halves = [place_in_axis[:, None] * frequency for place_in_axis in (place % grid, place // grid)]
    patches = torch.cat([part for angle in halves for part in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros_like(patches[:1]), patches]).unsqueeze(0)


def _config(setup: Setup, image_size: int) -> Any:
    """The setup's model as an autoencoder."""
    config = model_config(setup.model)
    if config.model_type not in _MODELS:
        raise ValueError(
            f"mae needs a vision transformer, whose hidden patches can be left out, got a model of type "
            f"{config.model_type!r}: use a model such as vit-b-16"
        )
    if config.model_type == "vit":
        config = ViTMAEConfig(**_shared(config))
    fit_image_size(config, image_size)
    return config


def _shared(config: Any) -> dict[str, Any]:
    return {key: getattr(config, key) for key in _SHARED}


def _set_decoder(config: Any, dim: int | None, depth: int | None, heads: int | None) -> None:
    for name, value in (("decoder_dim", dim), ("decoder_depth", depth), ("decoder_heads", heads)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected a positive integer, got {value}")
    if dim is not None:
        config.decoder_hidden_size, config.decoder_intermediate_size = dim, 4 * dim
    if depth is not None:
        config.decoder_num_hidden_layers = depth
    if heads is not None:
        config.decoder_num_attention_heads = heads
    if config.decoder_hidden_size % 4:
        raise ValueError(f"decoder_dim: expected a multiple of 4, for its positions, got {config.decoder_hidden_size}")
    if config.decoder_hidden_size % config.decoder_num_attention_heads:
        raise ValueError(
            f"decoder_dim: expected a multiple of the decoder's {config.decoder_num_attention_heads} attention heads, "
            f"got {config.decoder_hidden_size}"
        )


def _check_ratio(mask_ratio: float, patches: int) -> None:
    if not 0 < mask_ratio < 1:
        raise ValueError(f"mask_ratio: expected a number between 0 and 1, got {mask_ratio}")
    left = int(patches * (1 - mask_ratio))
    if not 0 < left < patches:
        raise ValueError(
            f"mask_ratio: {mask_ratio} of {patches} patches leaves {left}: at least one must be hidden and one seen"
        )


@torch.no_grad()
def _set_positions(network: Any, grid: int) -> None:
    for positions in (network.vit.embeddings.position_embeddings, network.decoder.decoder_pos_embed):
        positions.copy_(sine_cosine_positions(grid, positions.shape[-1]))
    torch.nn.init.normal_(network.decoder.mask_token, std=network.config.initializer_range)
    torch.nn.init.normal_(network.vit.embeddings.cls_token, std=network.config.initializer_range)
