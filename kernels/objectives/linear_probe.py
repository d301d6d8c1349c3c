"""Linear probe: how much of the classes stands in the features of a frozen backbone.

The linear evaluation protocol of SimCLR (https://arxiv.org/abs/2002.05709, Appendix B.6: SGD with momentum, learning
rate 0.1 * batch / 256, no weight decay); with `batch_norm` a normalisation without scale stands before the linear
layer, as MAE has it (https://arxiv.org/abs/2111.06377, Appendix A). The backbone is in eval mode and records no
gradients. Features: of images the pooled ones, of text those of the first token, of sound the average over time.

Shapes: N samples, F features, K classes.
"""

from typing import Self

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.backbones import Backbone, Sizes, backbone
from sslbench.kernels.classifiers import check_classes, synthetic_labels
from sslbench.kernels.data.augmentation import SUPERVISED
from sslbench.kernels.models import constructing
from sslbench.kernels.setup import Inference, Setup, Training


def train(
    setup: Setup,
    *,
    image_size: int | None = None,
    seq_len: int | None = None,
    seconds: float | None = None,
    classes: int = 1000,
    batch_norm: bool = False,
) -> Training:
    """A linear layer on frozen features of synthetic samples with synthetic labels (N).

    Args:
        setup: model, batch and how it is run.
        image_size: height and width in pixels, for images.
        seq_len: tokens a sequence, for text.
        seconds: length of a sound, at 16 kHz.
        classes: outputs of the linear layer (K).
        batch_norm: batch normalisation, without scale and shift, before the linear layer.

    Raises:
        ValueError: fewer than two classes, which leaves nothing to train; the model has no features, a size is missing,
            or the batch is too small for a normalisation.
    """
    if batch_norm and setup.batch_size < 2:
        raise ValueError(f"batch_size: batch_norm needs at least 2 samples, got {setup.batch_size}")
    probed = backbone(setup, Sizes(image_size=image_size, seq_len=seq_len, seconds=seconds))
    network = _probe(setup, probed, classes, batch_norm)

    def loss(samples: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(network(samples), labels_N)

    return Training(
        network=network,
        inputs=(probed.inputs, synthetic_labels(setup, classes)),
        loss=loss,
        learning_rate=0.1 * setup.samples / 256,
        augmentations=SUPERVISED,
    )


def inference(
    setup: Setup,
    *,
    image_size: int | None = None,
    seq_len: int | None = None,
    seconds: float | None = None,
    classes: int = 1000,
    batch_norm: bool = False,
) -> Inference:
    """Backbone and linear layer, and their input; gives logits (N, K).

    Raises:
        ValueError: as `train`.
    """
    probed = backbone(setup, Sizes(image_size=image_size, seq_len=seq_len, seconds=seconds))
    return _probe(setup, probed, classes, batch_norm).eval(), (probed.inputs,)


class _Probe(nn.Module):
    """Samples to logits (N, K); the backbone is never trained, whatever mode the probe is in."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(False).eval()
        self.head = head

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            features_NF = self.encoder(samples)
        logits: torch.Tensor = self.head(features_NF)
        return logits


def _probe(setup: Setup, probed: Backbone, classes: int, batch_norm: bool) -> _Probe:
    check_classes(classes)
    with constructing(setup.device, setup.weights):
        head: nn.Module = nn.Linear(probed.features, classes)
        if batch_norm:
            head = nn.Sequential(nn.BatchNorm1d(probed.features, affine=False, eps=1e-6), head)  # eps as in MAE's code
    return _Probe(probed.encoder, head)
