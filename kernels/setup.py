"""What every objective's step takes and gives, whatever its loss."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from sslbench.kernels.data.augmentation import Augmentation

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a step is run: the keywords that all objectives share.

    Raises:
        ValueError: a value is out of range, or the precision is not that of the weights.
    """

    device: torch.device
    model: str
    """Catalog model, a folder with a config.json, or `timm:NAME`."""
    batch_size: int
    """Samples of one forward pass; a training step has `accumulation` of them."""
    precision: str = "fp32"
    """`fp32` (no TF32 anywhere), `tf32`, or mixed precision in `bf16` or `fp16`."""
    optimizer: str = "adamw"
    """See `make_optimizer`."""
    attention: str = "sdpa"
    """`sdpa` or `eager`, for models that have attention."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    weights: str = "fp32"
    """Type of the parameters, a key of `DTYPES`; bf16 or fp16 is pure half precision."""
    channels_last: bool = False
    """Memory format of images and convolutions."""
    accumulation: int = 1
    """Forward and backward passes that a training step has before its update."""
    compile: bool = False
    """`torch.compile` the forward pass up to the loss, and with it the backward pass; or the module for inference."""
    learning_rate: float | None = None
    """None: the objective's own."""
    weight_decay: float | None = None
    """None: the objective's own."""

    def __post_init__(self) -> None:
        check_precision(self.precision, self.weights)
        if self.accumulation < 1:
            raise ValueError(f"accumulation: expected a positive integer, got {self.accumulation}")

    @property
    def samples(self) -> int:
        """Samples of one training step: the batch that learning-rate rules speak of."""
        return self.batch_size * self.accumulation

    @property
    def dtype(self) -> torch.dtype:
        """Type of the parameters, and of inputs that are not whole numbers."""
        return DTYPES[self.weights]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """An objective, built: what is updated, on what, by which loss, and the paper's defaults."""

    network: nn.Module
    """Every parameter that the step needs; the optimizer has those that require gradients."""
    inputs: tuple[torch.Tensor, ...]
    """One synthetic batch on the device; the first dimension of each is the sample (or the view)."""
    loss: Callable[..., torch.Tensor]
    """The forward pass up to the loss, called as `loss(*inputs)`; fresh masks and noise are drawn inside."""
    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's averages."""
    before_update: Callable[[], None] | None = None
    """Run on the gradients of the whole step, unscaled, before every optimizer update: clipping, a layer held fixed."""
    after_update: Callable[[], None] | None = None
    """Run after every optimizer update, without gradients: the EMA of a teacher, a queue, a centre."""
    writes_parameters: bool = False
    """Whether the loss itself changes parameters, which a sharded network would lose."""
    augmentations: tuple[Augmentation, ...] = ()
    """Of real images in place of the synthetic ones; see `sslbench.kernels.data.augmentation`."""


Inference = tuple[nn.Module, tuple[torch.Tensor, ...]]
"""A module in eval mode that gives one tensor, and its positional inputs."""


def check_precision(precision: str, weights: str) -> None:
    """Half-precision weights leave no choice of what is computed in.

    Raises:
        ValueError: the precision is unknown, or is not that of the weights.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if weights not in DTYPES:
        raise ValueError(f"weights: expected one of {', '.join(DTYPES)}, got {weights!r}")
    if weights not in ("fp32", precision):
        raise ValueError(
            f"weights in {weights} are computed with in {weights}: set the precision to {weights}, not {precision}"
        )
