"""SimCLR: two views of every image attract each other and repel all others of the batch.

Paper: https://arxiv.org/abs/2002.05709. Encoder f, non-linear projection head g (Section 4.2), NT-Xent (Section 2.1),
LARS with a learning rate of 0.3 * batch / 256 (Appendix B.1).

Shapes: N images, 2N views (views i and i + N are of one image), C channels, S pixels, F features, D projected.
"""

from typing import Any, Literal, TypeVar

import torch
from torch import nn
from torch.nn import functional

from sslbench.kernels.models import (
    DTYPES,
    checkpoint_activations,
    constructing,
    feature_size,
    image_encoder,
    model_config,
)
from sslbench.kernels.optimizers import make_optimizer
from sslbench.kernels.step import Step, check_precision, inference_step, training_step

_Module = TypeVar("_Module", bound=nn.Module)


def build(
    device: torch.device,
    *,
    model: str,
    batch_size: int,
    image_size: int,
    stage: Literal["train", "infer"] = "train",
    precision: str = "fp32",
    optimizer: str = "lars",
    attention: str = "sdpa",
    activation_checkpointing: bool = False,
    weights: str = "fp32",
    temperature: float = 0.1,
    projection_dim: int = 128,
    channels_last: bool = False,
    learning_rate: float | None = None,
    weight_decay: float = 1e-6,
) -> Step:
    """One step of SimCLR on synthetic views, as a function without arguments.

    Args:
        device: where everything lies.
        model: catalog model, or a folder with a config.json.
        batch_size: images a step (N); a training step encodes 2N views, an inference step N images.
        image_size: height and width in pixels (S).
        stage: `train` is forward, loss, backward, optimizer, zero_grad; `infer` is one forward batch of the encoder.
        precision: fp32, tf32, bf16, fp16.
        optimizer: see `make_optimizer`.
        attention: `sdpa` or `eager`, for encoders that have attention.
        activation_checkpointing: recompute activations in the backward pass.
        weights: type of the parameters; bf16 or fp16 is pure half precision.
        temperature: of NT-Xent.
        projection_dim: width of the projection (D).
        channels_last: memory format of images and convolutions.
        learning_rate: of the optimizer; None for the paper's 0.3 * batch / 256.
        weight_decay: of weight matrices and convolutions.

    Raises:
        ValueError: a batch of 1 (NT-Xent has no negatives), a model that takes no images, a value out of range.
    """
    if stage == "infer":
        module, inputs = inference(
            device,
            model=model,
            batch_size=batch_size,
            image_size=image_size,
            precision=precision,
            attention=attention,
            weights=weights,
            channels_last=channels_last,
        )
        return inference_step(module, inputs, device=device, precision=precision, weights=weights)
    _check(batch_size, temperature, projection_dim)
    check_precision(precision, weights)
    config = model_config(model)
    with constructing(device, weights):
        network = _SimCLR(image_encoder(config, attention=attention), feature_size(config), projection_dim)
    if activation_checkpointing:
        checkpoint_activations(network.encoder.network)
    network = _laid_out(network, channels_last=channels_last)
    rate = 0.3 * batch_size / 256 if learning_rate is None else learning_rate
    update = make_optimizer(optimizer, network, learning_rate=rate, weight_decay=weight_decay)
    # The loader hands over both views in one tensor, as training scripts do.
    views = _images(config, device, 2 * batch_size, image_size, weights=weights, channels_last=channels_last)

    def loss() -> torch.Tensor:
        return nt_xent(network(views), temperature)

    return training_step(loss, update, device=device, precision=precision, weights=weights)


def inference(
    device: torch.device,
    *,
    model: str,
    batch_size: int,
    image_size: int,
    precision: str = "fp32",
    attention: str = "sdpa",
    weights: str = "fp32",
    channels_last: bool = False,
) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The encoder in eval mode (the projection head is thrown away) and its input (N, 3, S, S); gives (N, F).

    Raises:
        ValueError: as `build`.
    """
    check_precision(precision, weights)
    config = model_config(model)
    with constructing(device, weights):
        encoder = _Encoder(image_encoder(config, attention=attention))
    encoder = _laid_out(encoder, channels_last=channels_last)
    return encoder.eval(), (
        _images(config, device, batch_size, image_size, weights=weights, channels_last=channels_last),
    )


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


class _Encoder(nn.Module):
    """Images (N, C, S, S) to pooled features (N, F)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network(images).pooler_output
        return features.flatten(1)


class _SimCLR(nn.Module):
    """Encoder and projection head: F -> F -> D with batch normalisation and ReLU between."""

    def __init__(self, encoder: nn.Module, features: int, projection_dim: int) -> None:
        super().__init__()
        self.encoder = _Encoder(encoder)
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


def _laid_out(module: _Module, *, channels_last: bool) -> _Module:
    # torch documents memory_format for modules; its stubs leave it out
    return module.to(memory_format=torch.channels_last) if channels_last else module  # type: ignore[call-overload]


def _images(
    config: Any, device: torch.device, count: int, size: int, *, weights: str, channels_last: bool
) -> torch.Tensor:
    images = torch.randn(count, config.num_channels, size, size, device=device, dtype=DTYPES[weights])
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images
