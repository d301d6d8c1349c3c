"""VICReg: two views embed alike, every feature varies over the batch, and no two features covary.

Paper: https://arxiv.org/abs/2105.04906. An expander of three layers of 8192, the weights 25, 25 and 1 of invariance,
variance and covariance (Section 4.2 and Equation 6), LARS with a learning rate of 0.2 * batch / 256 and weight decay
1e-6 (Section 4.2). As in the authors' code (https://github.com/facebookresearch/vicreg) every view goes through the
network by itself, and the covariances off the diagonal are copied, which sets the loss's memory: at 8192 wide a
covariance matrix is 256 MiB in fp32.

Shapes: N images in each of two views, C channels, S pixels, F features, D embedded.
"""

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.data.augmentation import BYOL
from sslbench.kernels.encoders import ImageEncoder, image_encoder, laid_out
from sslbench.kernels.heads import mlp_head
from sslbench.kernels.losses.decorrelation import off_diagonal
from sslbench.kernels.models import constructing
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.views import check_batch, check_positive, encoder_inference, synthetic_views

EPSILON = 1e-4  # under the root of the variance, Equation 1


def train(
    setup: Setup,
    *,
    image_size: int,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    hidden_dim: int = 8192,
    projection_dim: int = 8192,
) -> Training:
    """VICReg on two synthetic views (N, C, S, S).

    Args:
        setup: model, batch (N images, each seen twice) and how it is run.
        image_size: height and width in pixels (S).
        invariance_weight: lambda, of the distance between the views.
        variance_weight: mu, of the hinge on every feature's deviation.
        covariance_weight: nu, of the covariances between features.
        hidden_dim: width of the expander's two hidden layers.
        projection_dim: width of the embedding (D).

    Raises:
        ValueError: a batch of 1, a model that takes no images, a value out of range.
    """
    check_batch(setup.batch_size)
    weights = {"invariance": invariance_weight, "variance": variance_weight, "covariance": covariance_weight}
    check_positive(**{f"{name}_weight": weight for name, weight in weights.items()})
    encoder = image_encoder(setup, image_size=image_size)
    with constructing(setup.device, setup.weights):
        network = laid_out(_VICReg(encoder, hidden_dim, projection_dim), setup)

    def loss(view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        return vicreg_loss(network(view_a), network(view_b), **weights)

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


def vicreg_loss(
    a_ND: torch.Tensor, b_ND: torch.Tensor, *, invariance: float, variance: float, covariance: float
) -> torch.Tensor:
    """The loss: invariance * s(a, b) + variance * (v(a) + v(b)) / 2 + covariance * (c(a) + c(b)).

    Here s is the mean squared error over all elements and v is halved, as in the authors' code; the paper's Equation 5
    has the sum over features and Equation 6 no half, with the same weights.

    Args:
        a_ND: embeddings of the first view.
        b_ND: the same of the second.
        invariance: weight of s.
        variance: weight of v, the hinge of every feature's standard deviation at 1 (Equation 1).
        covariance: weight of c, the squared covariances off the diagonal over D (Equations 3 and 4).
    """
    distance = functional.mse_loss(a_ND, b_ND)
    a_ND, b_ND = a_ND - a_ND.mean(dim=0), b_ND - b_ND.mean(dim=0)
    hinge = _hinge(a_ND) / 2 + _hinge(b_ND) / 2
    return invariance * distance + variance * hinge + covariance * _off_diagonal_covariance(a_ND, b_ND)


def _hinge(x_ND: torch.Tensor) -> torch.Tensor:
    deviation_D = torch.sqrt(x_ND.var(dim=0) + EPSILON)
    return functional.relu(1 - deviation_D).mean()


def _off_diagonal_covariance(a_ND: torch.Tensor, b_ND: torch.Tensor) -> torch.Tensor:
    """Of both views together: the authors' code makes both matrices before it reduces either."""
    images, width = a_ND.shape
    a_DD, b_DD = (a_ND.T @ a_ND) / (images - 1), (b_ND.T @ b_ND) / (images - 1)
    return off_diagonal(a_DD).pow_(2).sum() / width + off_diagonal(b_DD).pow_(2).sum() / width


class _VICReg(nn.Module):
    """Encoder and expander."""

    def __init__(self, encoder: ImageEncoder, hidden_dim: int, projection_dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.expander = mlp_head((encoder.features, hidden_dim, hidden_dim, projection_dim), hidden_bias=True)

    def forward(self, view: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.expander(self.encoder(view))
        return embedded
