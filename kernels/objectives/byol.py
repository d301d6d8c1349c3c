"""BYOL: predict a slow copy's projection of the other view; there are no negatives.

Paper: https://arxiv.org/abs/2006.07733. Projector and predictor are perceptrons F -> 4096 -> 256 with batch
normalisation (Section 3.3), the loss is symmetric (Equation 2), the target network averages the online one with
momentum 0.996 (Section 3.1), LARS has a learning rate of 0.2 * batch / 256 and weight decay 1.5e-6 (Section 3.3).

As in the authors' code (https://github.com/google-deepmind/deepmind-research/tree/master/byol) every view goes
through the networks by itself, first the online network, then the target, and the target is averaged after the
optimizer's update. Left out: their classifier on detached features, which only watches the training, and the schedules
of learning rate and momentum.

Shapes: N images in each of two views, C channels, S pixels, F features, D projected.
"""

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.data.augmentation import BYOL
from sslbench.kernels.ema import Ema, frozen_copy
from sslbench.kernels.encoders import ImageEncoder, image_encoder, laid_out
from sslbench.kernels.heads import mlp_head
from sslbench.kernels.models import constructing
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.views import check_batch, encoder_inference, synthetic_views


def train(
    setup: Setup, *, image_size: int, momentum: float = 0.996, hidden_dim: int = 4096, projection_dim: int = 256
) -> Training:
    """BYOL on two synthetic views (N, C, S, S).

    Args:
        setup: model, batch (N images, each seen twice) and how it is run.
        image_size: height and width in pixels (S).
        momentum: of the target network.
        hidden_dim: hidden width of projector and predictor.
        projection_dim: width of the projection (D).

    Raises:
        ValueError: a batch of 1, a model that takes no images, a value out of range.
    """
    check_batch(setup.batch_size)
    encoder = image_encoder(setup, image_size=image_size)
    with constructing(setup.device, setup.weights):
        network = laid_out(_BYOL(encoder, hidden_dim, projection_dim), setup)
    target = Ema(network.online, network.target, momentum)

    def loss(view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        predicted_a, predicted_b = network.predict(view_a), network.predict(view_b)
        target_a, target_b = network.aim(view_a), network.aim(view_b)
        return regression_loss(predicted_a, target_b) + regression_loss(predicted_b, target_a)

    return Training(
        network=network,
        inputs=synthetic_views(setup, encoder),
        loss=loss,
        learning_rate=0.2 * setup.samples / 256,
        weight_decay=1.5e-6,
        after_update=target.update,
        augmentations=BYOL,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The online encoder and its input (N, C, S, S); gives (N, F).

    Raises:
        ValueError: as `train`.
    """
    return encoder_inference(setup, image_size=image_size)


def regression_loss(predicted_ND: torch.Tensor, target_ND: torch.Tensor) -> torch.Tensor:
    """Squared distance of the normalised rows, 2 - 2 cos, averaged over N; Equation 2 of the paper."""
    predicted_ND, target_ND = functional.normalize(predicted_ND, dim=1), functional.normalize(target_ND, dim=1)
    return (predicted_ND - target_ND).square().sum(dim=1).mean()


class _BYOL(nn.Module):
    """Online encoder and projector, the predictor on top, and the target: a frozen copy without the predictor."""

    def __init__(self, encoder: ImageEncoder, hidden_dim: int, projection_dim: int) -> None:
        super().__init__()
        projector = mlp_head((encoder.features, hidden_dim, projection_dim), hidden_bias=True)
        self.online = nn.Sequential(encoder, projector)
        self.predictor = mlp_head((projection_dim, hidden_dim, projection_dim), hidden_bias=True)
        self.target = frozen_copy(self.online)

    def predict(self, view: torch.Tensor) -> torch.Tensor:
        """Predictions (N, D) of the target's projections."""
        predicted: torch.Tensor = self.predictor(self.online(view))
        return predicted

    @torch.no_grad()
    def aim(self, view: torch.Tensor) -> torch.Tensor:
        """The target's projections (N, D)."""
        projected: torch.Tensor = self.target(view)
        return projected
