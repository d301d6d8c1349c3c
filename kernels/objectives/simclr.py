"""SimCLR: two views of every image attract each other and repel all others of the batch.

Paper: https://arxiv.org/abs/2002.05709. Encoder f, non-linear projection head g (Section 4.2), NT-Xent (Section 2.1),
LARS with a learning rate of 0.3 * batch / 256 (Appendix B.1).

Shapes: N images, 2N views (views i and i + N are of one image), C channels, S pixels, F features, D projected.
"""

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.data.augmentation import SIMCLR
from sslbench.kernels.encoders import ImageEncoder, image_encoder, laid_out, synthetic_images
from sslbench.kernels.models import constructing
from sslbench.kernels.setup import Inference, Setup, Training


def train(setup: Setup, *, image_size: int, temperature: float = 0.1, projection_dim: int = 128) -> Training:
    """SimCLR on synthetic views (2N, C, S, S).

    Args:
        setup: model, batch (N images, each seen twice) and how it is run.
        image_size: height and width in pixels (S).
        temperature: of NT-Xent.
        projection_dim: width of the projection (D).

    Raises:
        ValueError: a batch of 1 (NT-Xent has no negatives), a model that takes no images, a value out of range.
    """
    _check(setup.batch_size, temperature, projection_dim)
    encoder = image_encoder(setup, image_size=image_size)
    with constructing(setup.device, setup.weights):
        network = laid_out(_SimCLR(encoder, projection_dim), setup)

    def loss(views: torch.Tensor) -> torch.Tensor:
        return nt_xent(network(views), temperature)

    return Training(
        network=network,
        # The loader hands over both views in one tensor, as training scripts do.
        inputs=(synthetic_images(setup, 2 * setup.batch_size, encoder.channels, image_size),),
        loss=loss,
        learning_rate=0.3 * setup.samples / 256,
        weight_decay=1e-6,
        augmentations=SIMCLR,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The encoder (the projection head is thrown away) and its input (N, C, S, S); gives (N, F).

    Raises:
        ValueError: as `train`.
    """
    encoder = image_encoder(setup, image_size=image_size)
    return encoder.eval(), (synthetic_images(setup, setup.batch_size, encoder.channels, image_size),)


def nt_xent(z_2ND: torch.Tensor, temperature: float) -> torch.Tensor:
    """Normalised temperature-scaled cross entropy, averaged over all 2N views.

    With s_ij the cosine similarity of rows i and j, and j the other view of i: the mean over i of
    -log(exp(s_ij / t) / sum over k != i of exp(s_ik / t)); Equation 1 and Algorithm 1 of
    https://arxiv.org/abs/2002.05709.

    Args:
        z_2ND: projections; rows i and i + N are the two views of image i.
        temperature: t, above 0.

    Raises:
        ValueError: fewer than two images, an odd number of rows, or a temperature that is not above 0.
    """
    rows = z_2ND.shape[0]
    if rows < 4 or rows % 2:
        raise ValueError(f"NT-Xent needs two views each of at least two images, got {rows} rows")
    if temperature <= 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    unit_2ND = functional.normalize(z_2ND, dim=1)
    logits_2N2N = unit_2ND @ unit_2ND.T / temperature
    itself = torch.eye(rows, dtype=torch.bool, device=z_2ND.device)
    logits_2N2N = logits_2N2N.masked_fill(itself, -torch.inf)
    other_view_2N = torch.arange(rows, device=z_2ND.device).roll(rows // 2)
    if logits_2N2N.dtype in (torch.float16, torch.bfloat16):
        logits_2N2N = logits_2N2N.float()  # as autocast does: a sum over 2N terms overflows half precision
    return functional.cross_entropy(logits_2N2N, other_view_2N)


class _SimCLR(nn.Module):
    """Encoder and projection head: F -> F -> D with batch normalisation and ReLU between."""

    def __init__(self, encoder: ImageEncoder, projection_dim: int) -> None:
        super().__init__()
        features = encoder.features
        self.encoder = encoder
        self.projection = nn.Sequential(
            nn.Linear(features, features, bias=False),  # the normalisation after it has the bias
            nn.BatchNorm1d(features),
            nn.ReLU(),
            nn.Linear(features, projection_dim),
        )

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.projection(self.encoder(views))
        return projected


def _check(batch_size: int, temperature: float, projection_dim: int) -> None:
    if batch_size < 2:
        raise ValueError(
            f"batch_size: NT-Xent compares each image with the others, so it needs at least 2, got {batch_size}"
        )
    if temperature <= 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    if projection_dim < 1:
        raise ValueError(f"projection_dim: expected a positive integer, got {projection_dim}")
