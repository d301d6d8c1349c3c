"""What the joint-embedding objectives share: views of images, the encoder that is used afterwards, checks.

Shapes: N images, C channels, S pixels, F features.
"""

import torch

from sslbench.kernels.encoders import ImageEncoder, image_encoder, synthetic_images
from sslbench.kernels.setup import Inference, Setup


def synthetic_views(setup: Setup, encoder: ImageEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views of every image, each (N, C, S, S) in a tensor of its own, as a two-crops loader hands them over."""
    size = encoder.image_size
    first, second = (synthetic_images(setup, setup.batch_size, encoder.channels, size) for _ in range(2))
    return first, second


def encoder_inference(setup: Setup, *, image_size: int) -> Inference:
    """The encoder alone, whose head is thrown away, and its input (N, C, S, S); gives features (N, F).

    Raises:
        ValueError: the model takes no images, or its patches do not divide the image.
    """
    encoder = image_encoder(setup, image_size=image_size)
    return encoder.eval(), (synthetic_images(setup, setup.batch_size, encoder.channels, image_size),)


def check_batch(batch_size: int) -> None:
    """Batch statistics need a batch: of one image, every variance is zero or undefined.

    Raises:
        ValueError: fewer than two images.
    """
    if batch_size < 2:
        raise ValueError(
            f"batch_size: the head's batch normalisation needs at least 2 images in a forward pass, got {batch_size}"
        )


def check_positive(**values: float) -> None:
    """Temperatures, widths and weights are above 0.

    Raises:
        ValueError: names the first that is not.
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: expected a number above 0, got {value}")
