"""MoCo: a query is to find its key, made by a momentum encoder, among those of other images.

Version 2 (https://arxiv.org/abs/2003.04297 on https://arxiv.org/abs/1911.05722): one view is the query and the other
the key; negatives are a queue of 65,536 keys of 128; heads of two layers; temperature 0.2; momentum 0.999; SGD with a
learning rate of 0.03 * batch / 256 and weight decay 1e-4. Shuffled batch normalisation (Section 3.3) exchanges images
between devices: a single one has none to exchange with, as here.

Version 3 (https://arxiv.org/abs/2104.02057, Algorithm 1): no queue, negatives are the batch's keys; symmetric, the loss
of both directions times 2 * temperature; a predictor; heads of 4096 with batch normalisation on every layer, three for
a ViT and two for a ResNet; momentum 0.99, the start of its cosine. A ViT has fixed sine-cosine positions (Section 4.1)
and a frozen random patch projection (Section 4.2), AdamW with 1.5e-4 * batch / 256 and weight decay 0.1; a ResNet has
LARS with 0.3 * batch / 256 and 1e-6 (300 epochs).

As in the authors' code (https://github.com/facebookresearch/moco, https://github.com/facebookresearch/moco-v3) every
view goes through the encoders by itself, queries first. They average the momentum encoder before its keys are made, we
right after the optimizer's update before: the same keys.

Shapes: N images in each of two views, C channels, S pixels, F features, D projected, K keys in the queue.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.data.augmentation import BYOL, MOCO_V2
from sslbench.kernels.ema import Ema, frozen_copy
from sslbench.kernels.encoders import ImageEncoder, image_encoder, laid_out
from sslbench.kernels.heads import mlp_head
from sslbench.kernels.losses.info_nce import batch_info_nce, queue_info_nce
from sslbench.kernels.models import constructing
from sslbench.kernels.positions import fix_patches
from sslbench.kernels.setup import Inference, Setup, Training
from sslbench.kernels.views import check_batch, check_positive, encoder_inference, synthetic_views

QUEUE_SIZE = 65_536


def train(
    setup: Setup,
    *,
    image_size: int,
    version: Literal["v2", "v3"] = "v2",
    temperature: float = 0.2,
    momentum: float | None = None,
    queue_size: int | None = None,
    symmetric: bool = False,
    projection_dim: int | None = None,
    hidden_dim: int | None = None,
) -> Training:
    """MoCo on two synthetic views (N, C, S, S).

    Args:
        setup: model, batch (N images, each seen twice) and how it is run.
        image_size: height and width in pixels (S).
        version: `v2` or `v3`.
        temperature: of the contrastive loss.
        momentum: of the momentum encoder; None: 0.999 for v2, 0.99 for v3.
        queue_size: keys in the queue of v2 (K); None: 65,536.
        symmetric: v2 with either view as the query in turn, as in the authors' CIFAR notebook; v3 always is.
        projection_dim: width of the projection (D); None: 128 for v2, 256 for v3.
        hidden_dim: hidden width of the heads; None: that of the features for v2, 4096 for v3.

    Raises:
        ValueError: a batch of 1, a queue smaller than the batch or a queue for v3, a model that takes no images, a
            value out of range.
    """
    check_batch(setup.batch_size)
    check_positive(temperature=temperature)
    encoder = image_encoder(setup, image_size=image_size)
    if version == "v3":
        if queue_size is not None:
            raise ValueError(f"queue_size: MoCo v3 has no queue, got {queue_size}: leave it out, or set version to v2")
        return _train_v3(
            setup,
            encoder,
            temperature=temperature,
            momentum=0.99 if momentum is None else momentum,
            projection_dim=256 if projection_dim is None else projection_dim,
            hidden_dim=4096 if hidden_dim is None else hidden_dim,
        )
    return _train_v2(
        setup,
        encoder,
        temperature=temperature,
        momentum=0.999 if momentum is None else momentum,
        projection_dim=128 if projection_dim is None else projection_dim,
        hidden_dim=encoder.features if hidden_dim is None else hidden_dim,
        queue_size=QUEUE_SIZE if queue_size is None else queue_size,
        symmetric=symmetric,
    )


def inference(setup: Setup, *, image_size: int) -> Inference:
    """The query encoder and its input (N, C, S, S); gives (N, F).

    Raises:
        ValueError: as `train`.
    """
    return encoder_inference(setup, image_size=image_size)


def _train_v2(
    setup: Setup,
    encoder: ImageEncoder,
    *,
    temperature: float,
    momentum: float,
    projection_dim: int,
    hidden_dim: int,
    queue_size: int,
    symmetric: bool,
) -> Training:
    needed = 2 * setup.batch_size if symmetric else setup.batch_size
    if queue_size < needed:
        raise ValueError(f"queue_size: expected at least the {needed} keys of a forward pass, got {queue_size}")
    with constructing(setup.device, setup.weights):
        widths = (encoder.features, hidden_dim, projection_dim)
        head = mlp_head(widths, hidden_norm=False, hidden_bias=True, output_bias=True)
        network = laid_out(_MoCoV2(nn.Sequential(encoder, head), width=projection_dim, keys=queue_size), setup)

    def loss(view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        pairs = ((view_a, view_b), (view_b, view_a)) if symmetric else ((view_a, view_b),)
        losses, made = [], []
        for query_view, key_view in pairs:
            query_ND, key_ND = network.query(query_view), network.key(key_view)
            losses.append(queue_info_nce(query_ND, key_ND, network.queue, temperature))
            made.append(key_ND)
        for key_ND in made:
            network.enqueue(key_ND)
        return sum(losses[1:], losses[0])

    return Training(
        network=network,
        inputs=synthetic_views(setup, encoder),
        loss=loss,
        learning_rate=0.03 * setup.samples / 256,
        weight_decay=1e-4,
        after_update=Ema(network.query_encoder, network.key_encoder, momentum).update,
        augmentations=MOCO_V2,
    )


def _train_v3(
    setup: Setup, encoder: ImageEncoder, *, temperature: float, momentum: float, projection_dim: int, hidden_dim: int
) -> Training:
    is_vit = fix_patches(encoder.network)
    hidden = [hidden_dim] * (2 if is_vit else 1)
    with constructing(setup.device, setup.weights):
        head = mlp_head((encoder.features, *hidden, projection_dim), output_norm=True)
        predictor = mlp_head((projection_dim, hidden_dim, projection_dim), output_norm=True)
        network = laid_out(_MoCoV3(nn.Sequential(encoder, head), predictor), setup)

    def loss(view_a: torch.Tensor, view_b: torch.Tensor) -> torch.Tensor:
        query_a, query_b = network.query(view_a), network.query(view_b)
        key_a, key_b = network.key(view_a), network.key(view_b)
        total = batch_info_nce(query_a, key_b, temperature) + batch_info_nce(query_b, key_a, temperature)
        return 2 * temperature * total

    return Training(
        network=network,
        inputs=synthetic_views(setup, encoder),
        loss=loss,
        learning_rate=(1.5e-4 if is_vit else 0.3) * setup.samples / 256,
        weight_decay=0.1 if is_vit else 1e-6,
        after_update=Ema(network.query_encoder, network.key_encoder, momentum).update,
        augmentations=BYOL,
    )


class _MoCoV2(nn.Module):
    """Query encoder with head, its frozen copy for the keys, and the queue, a ring of the last keys."""

    queue: torch.Tensor

    def __init__(self, encoder: nn.Sequential, *, width: int, keys: int) -> None:
        super().__init__()
        self.query_encoder = encoder
        self.key_encoder = frozen_copy(encoder)
        self.register_buffer("queue", functional.normalize(torch.randn(width, keys), dim=0))
        self.oldest = 0
        """Column of the key that is replaced next; a number of the host, so that no step waits for the device."""

    def query(self, view: torch.Tensor) -> torch.Tensor:
        """Queries (N, D) of length 1."""
        return functional.normalize(self.query_encoder(view), dim=1)

    @torch.no_grad()
    def key(self, view: torch.Tensor) -> torch.Tensor:
        """Keys (N, D) of length 1."""
        return functional.normalize(self.key_encoder(view), dim=1)

    @torch.no_grad()
    def enqueue(self, key_ND: torch.Tensor) -> None:
        """Replace the oldest N keys of the queue."""
        size, count = self.queue.shape[1], key_ND.shape[0]
        before_end = min(count, size - self.oldest)
        self.queue[:, self.oldest : self.oldest + before_end] = key_ND[:before_end].T
        if before_end < count:
            self.queue[:, : count - before_end] = key_ND[before_end:].T
        self.oldest = (self.oldest + count) % size


class _MoCoV3(nn.Module):
    """Query encoder with head, the predictor on top, and the frozen copy without it for the keys."""

    def __init__(self, encoder: nn.Sequential, predictor: nn.Sequential) -> None:
        super().__init__()
        self.query_encoder = encoder
        self.predictor = predictor
        self.key_encoder = frozen_copy(encoder)

    def query(self, view: torch.Tensor) -> torch.Tensor:
        """Queries (N, D)."""
        predicted: torch.Tensor = self.predictor(self.query_encoder(view))
        return predicted

    @torch.no_grad()
    def key(self, view: torch.Tensor) -> torch.Tensor:
        """Keys (N, D)."""
        projected: torch.Tensor = self.key_encoder(view)
        return projected
