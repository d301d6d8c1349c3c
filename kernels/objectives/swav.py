"""SwAV: predict a view's cluster assignment from every other view, small crops included.

Paper: https://arxiv.org/abs/2006.09882. Two crops of 224 px and six of 96 px (Section 3.2), a head F -> 2048 -> 128,
3,000 prototypes, temperature 0.1, assignments by three iterations of Sinkhorn-Knopp at 0.05 (Section 3.1 and its
appendix), LARS with a learning rate of 4.8 at a batch of 4096 and weight decay 1e-6.

As in the authors' code (https://github.com/facebookresearch/swav) crops of one size go through the encoder together,
the head sees all crops at once, and the prototypes are normalised before every forward pass. Small batches take a queue
of earlier embeddings into the assignments (3,840 at a batch of 256); it is full from the start here, of random unit
vectors, as theirs is after the first steps with one. Left out: prototypes frozen in the first 313 steps, the schedules,
and a padding layer before the first convolution in place of the convolution's own.

Shapes: N images, V crops of each, G = 2 of them large, C channels, S pixels, F features, D projected, K prototypes,
Q embeddings in the queue.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.data.augmentation import SWAV
from sslbench.kernels.encoders import ImageEncoder, image_encoder, laid_out
from sslbench.kernels.heads import mlp_head
from sslbench.kernels.losses.self_distillation import dino_loss
from sslbench.kernels.losses.sinkhorn import sinkhorn
from sslbench.kernels.models import constructing
from sslbench.kernels.multi_crop import GLOBAL_CROPS, check_crops, synthetic_crops
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.views import check_batch, check_positive, encoder_inference

LEAST_EPSILON = 0.015  # below it exp(1 / epsilon), summed over a batch, leaves fp32


def train(
    setup: Setup,
    *,
    image_size: int,
    local_size: int = 96,
    local_crops: int = 6,
    prototypes: int = 3000,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    sinkhorn_iterations: int = 3,
    queue_size: int = 0,
    hidden_dim: int = 2048,
    projection_dim: int = 128,
) -> Training:
    """SwAV on synthetic crops: (2N, C, S, S), and (local_crops * N, C, local_size, local_size).

    Args:
        setup: model, batch (N images) and how it is run.
        image_size: height and width of the two large crops in pixels (S).
        local_size: height and width of the small crops.
        local_crops: small crops of an image; 0: none.
        prototypes: clusters (K).
        temperature: of the predictions.
        epsilon: smoothness of the assignments.
        sinkhorn_iterations: of the assignments.
        queue_size: earlier embeddings that take part in the assignments, for each large crop (Q); 0: none.
        hidden_dim: hidden width of the head.
        projection_dim: width of the embedding (D).

    Raises:
        ValueError: a batch of 1, a queue smaller than the batch, a model that takes no images, crops that its patches
            do not divide, a value out of range.
    """
    check_batch(setup.batch_size)
    check_positive(prototypes=prototypes, temperature=temperature, sinkhorn_iterations=sinkhorn_iterations)
    _check(setup, epsilon=epsilon, queue_size=queue_size)
    encoder = image_encoder(setup, image_size=image_size)
    check_crops(encoder, local_size=local_size, local_crops=local_crops)
    with constructing(setup.device, setup.weights):
        head = mlp_head((encoder.features, hidden_dim, projection_dim), hidden_bias=True, output_bias=True)
        network = laid_out(_SwAV(encoder, head, projection_dim, prototypes, queue_size), setup)

    def loss(*crops: torch.Tensor) -> torch.Tensor:
        network.normalise_prototypes()
        embedded, scores = network(*crops)
        scores_VNK, embedded_VND = scores.split(setup.batch_size), embedded.split(setup.batch_size)
        assigned_GNK = [
            sinkhorn(network.with_queue(crop, scores_NK), epsilon=epsilon, iterations=sinkhorn_iterations)
            for crop, scores_NK in enumerate(scores_VNK[:GLOBAL_CROPS])
        ]
        network.enqueue(embedded_VND[:GLOBAL_CROPS])
        # Swapped prediction (Equations 1 and 2); DINO has its cross entropy over pairs of crops from here.
        return dino_loss(scores_VNK, [q_NK[-setup.batch_size :] for q_NK in assigned_GNK], temperature)

    return Training(
        network=network,
        inputs=synthetic_crops(setup, encoder, local_size=local_size, local_crops=local_crops),
        loss=loss,
        learning_rate=4.8 * setup.samples / 4096,
        weight_decay=1e-6,
        writes_parameters=True,
        augmentations=SWAV,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The encoder and its input (N, C, S, S); gives (N, F).

    Raises:
        ValueError: as `train`.
    """
    return encoder_inference(setup, image_size=image_size)


class _SwAV(nn.Module):
    """Encoder, head, prototypes, and a queue of embeddings for each of the large crops."""

    queue: torch.Tensor

    def __init__(
        self, encoder: ImageEncoder, head: nn.Sequential, projection_dim: int, prototypes: int, queue_size: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.prototypes = nn.Linear(projection_dim, prototypes, bias=False)
        queued = torch.randn(GLOBAL_CROPS, queue_size, projection_dim)
        self.register_buffer("queue", functional.normalize(queued, dim=2))

    def forward(self, *crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings (VN, D) of length 1 and their scores (VN, K)."""
        features = torch.cat([self.encoder(crop) for crop in crops])
        embedded = functional.normalize(self.head(features), dim=1)
        return embedded, self.prototypes(embedded)

    @torch.no_grad()
    def normalise_prototypes(self) -> None:
        """Bring every prototype to length 1."""
        self.prototypes.weight.copy_(functional.normalize(self.prototypes.weight, dim=1))

    @torch.no_grad()
    def with_queue(self, crop: int, scores_NK: torch.Tensor) -> torch.Tensor:
        """Scores of the queued embeddings above those of a large crop, (Q + N, K)."""
        if not self.queue.shape[1]:
            return scores_NK
        return torch.cat((self.prototypes(self.queue[crop]), scores_NK))

    @torch.no_grad()
    def enqueue(self, embedded_GND: Sequence[torch.Tensor]) -> None:
        """Shift the queues by a batch and put the large crops' embeddings in front."""
        if not self.queue.shape[1]:
            return
        for queue_QD, embedded_ND in zip(self.queue, embedded_GND, strict=True):
            count = embedded_ND.shape[0]
            queue_QD[count:] = queue_QD[:-count].clone()
            queue_QD[:count] = embedded_ND


def _check(setup: Setup, *, epsilon: float, queue_size: int) -> None:
    if epsilon < LEAST_EPSILON:
        raise ValueError(
            f"epsilon: expected at least {LEAST_EPSILON}, else exp(score / epsilon) overflows, got {epsilon}"
        )
    if queue_size and queue_size < setup.batch_size:
        raise ValueError(
            f"queue_size: expected 0 or at least the {setup.batch_size} images of a forward pass, got {queue_size}"
        )
