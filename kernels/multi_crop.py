"""Multi-crop (https://arxiv.org/abs/2006.09882, Section 3.2): two large crops of an image and several small ones.

Shapes: N images, V local crops, C channels, S and s pixels.
"""

from typing import Protocol

import torch
from torch import nn

from sslbench.kernels.encoders import synthetic_images
from sslbench.kernels.setup import Setup

GLOBAL_CROPS = 2


class Encoder(Protocol):
    """What a crop must fit."""

    network: nn.Module
    channels: int
    image_size: int


def synthetic_crops(setup: Setup, encoder: Encoder, *, local_size: int, local_crops: int) -> tuple[torch.Tensor, ...]:
    """Global crops (2N, C, S, S) and, if there are any, local ones (V N, C, s, s).

    Crops of one size lie in one tensor, crop after crop (row v N + n is crop v of image n), as DINOv2's loader hands
    them over; DINO's code makes it of a list on the device.
    """
    counts = ((GLOBAL_CROPS, encoder.image_size), (local_crops, local_size))
    return tuple(
        synthetic_images(setup, crops * setup.batch_size, encoder.channels, size) for crops, size in counts if crops
    )


def check_crops(encoder: Encoder, *, local_size: int, local_crops: int) -> None:
    """Local crops are of whole patches, and of a size that the model takes.

    Raises:
        ValueError: the number is negative, the size is no multiple of the patch, or the model takes only one size.
    """
    if local_crops < 0:
        raise ValueError(f"local_crops: expected a number from 0, got {local_crops}")
    patch = getattr(getattr(encoder.network, "config", None), "patch_size", None)
    step = patch if isinstance(patch, int) else 1
    if local_size < 1 or local_size % step:
        expected = f"a multiple of the model's patch size ({step})" if step > 1 else "a positive integer"
        raise ValueError(f"local_size: expected {expected}, got {local_size}")
    embedding = getattr(encoder.network, "patch_embed", None)  # of timm's transformers
    if getattr(embedding, "strict_img_size", False) and local_crops and local_size != encoder.image_size:
        raise ValueError(
            f"local_size: this model of timm takes images of {encoder.image_size} px only: use a vision transformer of "
            "the catalog, such as vit-s-16, or local_crops 0"
        )
