"""Barlow Twins: the cross-correlation of two views' projections is to be the identity.

Paper: https://arxiv.org/abs/2103.03230. A projector of three layers of 8192 (Section 2.2 and Appendix A), the loss of
Equation 1 with lambda 0.0051, LARS with a learning rate of 0.2 * batch / 256 and weight decay 1e-6.

As in the authors' code (https://github.com/facebookresearch/barlowtwins) every view goes through the network by itself,
the projections are normalised by a batch normalisation without scale and shift, and the loss changes the correlations
in place and copies those off the diagonal, which sets its memory: at 8192 wide a correlation matrix is 256 MiB in fp32.
Left out: their smaller learning rate for biases and normalisations (0.0048 * batch / 256), and the schedule.

Shapes: N images in each of two views, C channels, S pixels, F features, D projected.
"""

import torch
from torch import nn

from sslbench.kernels.data.augmentation import BYOL
from sslbench.kernels.encoders import ImageEncoder, image_encoder, laid_out
from sslbench.kernels.heads import mlp_head
from sslbench.kernels.losses.decorrelation import off_diagonal
from sslbench.kernels.models import constructing
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.views import check_batch, check_positive, encoder_inference, synthetic_views


def train(
    setup: Setup,
    *,
    image_size: int,
    off_diagonal_weight: float = 0.0051,
    hidden_dim: int = 8192,
    projection_dim: int = 8192,
) -> Training:
    """Barlow Twins on two synthetic views (N, C, S, S).

    Args:
        setup: model, batch (N images, each seen twice) and how it is run.
        image_size: height and width in pixels (S).
        off_diagonal_weight: lambda, the weight of the correlations between different features.
        hidden_dim: width of the projector's two hidden layers.
        projection_dim: width of the projection (D).

    Raises:
        ValueError: a batch of 1, a model that takes no images, a value out of range.
    """
    check_batch(setup.batch_size)
    check_positive(off_diagonal_weight=off_diagonal_weight)
    encoder = image_encoder(setup, image_size=image_size)
    with constructing(setup.device, setup.weights):
        network = laid_out(_BarlowTwins(encoder, hidden_dim, projection_dim), setup)

    def loss(view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        projected_a, projected_b = network.project(view_a), network.project(view_b)
        return barlow_twins_loss(network.norm(projected_a), network.norm(projected_b), off_diagonal_weight)

    return Training(
        network=network,
        inputs=synthetic_views(setup, encoder),
        loss=loss,
        learning_rate=0.2 * setup.samples / 256,
        weight_decay=1e-6,
        augmentations=BYOL,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The encoder and its input (N, C, S, S); gives (N, F).

    Raises:
        ValueError: as `train`.
    """
    return encoder_inference(setup, image_size=image_size)


def barlow_twins_loss(a_ND: torch.Tensor, b_ND: torch.Tensor, off_diagonal_weight: float) -> torch.Tensor:
    """Sum over i of (1 - C_ii)^2 + lambda * sum over i and j != i of C_ij^2, with C = a^T b / N (Equation 1).

    Args:
        a_ND: projections of the first view, normalised along the batch.
        b_ND: the same of the second.
        off_diagonal_weight: lambda.
    """
    correlation_DD = (a_ND.T @ b_ND).div_(a_ND.shape[0])
    on_diagonal = torch.diagonal(correlation_DD).add_(-1).pow_(2).sum()
    return on_diagonal + off_diagonal_weight * off_diagonal(correlation_DD).pow_(2).sum()


class _BarlowTwins(nn.Module):
    """Encoder, projector, and the normalisation of projections along the batch."""

    def __init__(self, encoder: ImageEncoder, hidden_dim: int, projection_dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = mlp_head((encoder.features, hidden_dim, hidden_dim, projection_dim))
        self.norm = nn.BatchNorm1d(projection_dim, affine=False)

    def project(self, view: torch.Tensor) -> torch.Tensor:
        """Projections (N, D)."""
        projected: torch.Tensor = self.projector(self.encoder(view))
        return projected
