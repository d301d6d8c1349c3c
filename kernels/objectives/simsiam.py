"""SimSiam: predict the projection of the other view by the same network, whose gradient is stopped there.

Paper: https://arxiv.org/abs/2011.10566. A projector of three layers, all normalised, the last without scale and shift;
a bottleneck predictor D -> D/4 -> D; the symmetric negative cosine (Equations 1 and 2 and Section 3); SGD with a
learning rate of 0.05 * batch / 256 and weight decay 1e-4 (Section 3).

As in the authors' code (https://github.com/facebookresearch/simsiam) every view goes through the network by itself, and
the projector's hidden layers are as wide as the features. Its last layer has no bias here: theirs is frozen and falls
to the normalisation after it.

Shapes: N images in each of two views, C channels, S pixels, F features, D projected.
"""

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.data.augmentation import MOCO_V2
from sslbench.kernels.encoders import ImageEncoder, image_encoder, laid_out
from sslbench.kernels.heads import mlp_head
from sslbench.kernels.models import constructing
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.views import check_batch, encoder_inference, synthetic_views


def train(setup: Setup, *, image_size: int, projection_dim: int = 2048, prediction_dim: int = 512) -> Training:
    """SimSiam on two synthetic views (N, C, S, S).

    Args:
        setup: model, batch (N images, each seen twice) and how it is run.
        image_size: height and width in pixels (S).
        projection_dim: width of the projection (D).
        prediction_dim: hidden width of the predictor.

    Raises:
        ValueError: a batch of 1, a model that takes no images, a value out of range.
    """
    check_batch(setup.batch_size)
    encoder = image_encoder(setup, image_size=image_size)
    with constructing(setup.device, setup.weights):
        network = laid_out(_SimSiam(encoder, projection_dim, prediction_dim), setup)

    def loss(view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        projected_a, projected_b = network.project(view_a), network.project(view_b)
        predicted_a, predicted_b = network.predictor(projected_a), network.predictor(projected_b)
        return negative_cosine(predicted_a, projected_b) / 2 + negative_cosine(predicted_b, projected_a) / 2

    return Training(
        network=network,
        inputs=synthetic_views(setup, encoder),
        loss=loss,
        learning_rate=0.05 * setup.samples / 256,
        weight_decay=1e-4,
        augmentations=MOCO_V2,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The encoder and its input (N, C, S, S); gives (N, F).

    Raises:
        ValueError: as `train`.
    """
    return encoder_inference(setup, image_size=image_size)


def negative_cosine(predicted_ND: torch.Tensor, target_ND: torch.Tensor) -> torch.Tensor:
    """Minus the cosine of the rows, averaged over N; no gradient flows into the target (Equations 1 and 3)."""
    return -functional.cosine_similarity(predicted_ND, target_ND.detach(), dim=1).mean()


class _SimSiam(nn.Module):
    """Encoder, projector, predictor."""

    def __init__(self, encoder: ImageEncoder, projection_dim: int, prediction_dim: int) -> None:
        super().__init__()
        features = encoder.features
        self.encoder = encoder
        self.projector = mlp_head((features, features, features, projection_dim), output_norm=True)
        self.predictor = mlp_head((projection_dim, prediction_dim, projection_dim), output_bias=True)

    def project(self, view: torch.Tensor) -> torch.Tensor:
        """Projections (N, D)."""
        projected: torch.Tensor = self.projector(self.encoder(view))
        return projected
