"""Image encoders under one interface, from transformers or from timm: images in, pooled features out.

Shapes: N images, C channels, S pixels, F features.
"""

import inspect
from typing import Any, TypeVar

import torch
from torch import nn

from sslbench.kernels.model_tables import timm_name
from sslbench.kernels.models import base_class, checkpoint_activations, constructing, create, model_config
from sslbench.kernels.setup import Setup
from sslbench.kernels.timm_models import timm_channels, timm_network

_Module = TypeVar("_Module", bound=nn.Module)

# Their pooler is a layer of its own on the class token, which no SSL method uses.
_CLASS_TOKEN_MODELS = frozenset({"vit", "deit", "ijepa", "data2vec-vision"})


class ImageEncoder(nn.Module):
    """Images (N, C, S, S) to pooled features (N, F): the class token of a ViT, the average of a ResNet."""

    def __init__(
        self, network: nn.Module, *, features: int, channels: int, image_size: int, interpolates: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.features = features
        self.channels = channels
        self.image_size = image_size
        """Pixels that its position embeddings are made for."""
        self._interpolates = interpolates

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pooled features (N, F)."""
        # Crops of another size than the model's are embedded with interpolated positions (multi-crop of DINO).
        other = self._interpolates and images.shape[-1] != self.image_size
        output = self.network(images, interpolate_pos_encoding=True) if other else self.network(images)
        if isinstance(output, torch.Tensor):  # timm's models pool by themselves
            return output
        pooled = getattr(output, "pooler_output", None)
        features: torch.Tensor = output.last_hidden_state[:, 0] if pooled is None else pooled
        return features.flatten(1)


def image_encoder(setup: Setup, *, image_size: int) -> ImageEncoder:
    """The setup's model without a head, on its device, in its layout, with recomputed activations if asked for.

    Raises:
        ValueError: the model takes no images, or its patches do not divide the image.
    """
    timm = timm_name(setup.model)
    if timm is not None:
        return _timm_encoder(setup, timm, image_size)
    config = model_config(setup.model)
    model_class = base_class(config)
    if getattr(model_class, "main_input_name", "") != "pixel_values":
        raise ValueError(f"a model of type {config.model_type!r} is no image encoder: use a model such as resnet50")
    fit_image_size(config, image_size)
    pooling = {"add_pooling_layer": False} if config.model_type in _CLASS_TOKEN_MODELS else {}
    with constructing(setup.device, setup.weights):
        network: Any = create(model_class.__name__, config, setup.attention, **pooling)
    if setup.activation_checkpointing:
        checkpoint_activations(network)
    encoder = ImageEncoder(
        network,
        features=feature_size(config),
        channels=config.num_channels,
        image_size=image_size,
        interpolates="interpolate_pos_encoding" in inspect.signature(type(network).forward).parameters,
    )
    return laid_out(encoder, setup)


def _timm_encoder(setup: Setup, name: str, image_size: int) -> ImageEncoder:
    with constructing(setup.device, setup.weights):
        network = timm_network(setup, name, image_size=image_size)
    encoder = ImageEncoder(
        network,
        features=network.head_hidden_size,  # num_features, but for models with a layer before the classifier
        channels=timm_channels(name),
        image_size=image_size,
        interpolates=False,
    )
    return laid_out(encoder, setup)


def fit_image_size(config: Any, image_size: int) -> None:
    """Make a config with patches one for images of this size.

    Raises:
        ValueError: the size is no multiple of the patch.
    """
    patch = getattr(config, "patch_size", None)
    if not isinstance(patch, int):
        return
    if image_size % patch:
        raise ValueError(
            f"image_size: expected a multiple of the model's patch size ({patch}), got {image_size}: "
            f"the nearest are {image_size // patch * patch or patch} and {(image_size // patch + 1) * patch}"
        )
    config.image_size = image_size


def feature_size(config: Any) -> int:
    """Channels of an image encoder's pooled features."""
    sizes = getattr(config, "hidden_sizes", None)
    return int(sizes[-1] if sizes else config.hidden_size)


def laid_out(module: _Module, setup: Setup) -> _Module:
    """The module in the setup's memory format."""
    # torch documents memory_format for modules; its stubs leave it out
    return module.to(memory_format=torch.channels_last) if setup.channels_last else module  # type: ignore[call-overload]


def synthetic_images(setup: Setup, count: int, channels: int, size: int) -> torch.Tensor:
    """Normally distributed images (count, C, S, S), as normalised photographs nearly are."""
    images = torch.randn(count, channels, size, size, device=setup.device, dtype=setup.dtype)
    return images.contiguous(memory_format=torch.channels_last) if setup.channels_last else images
