"""The training and inference step that all objectives share: precision, loss scaling, backward, optimizer."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.optim import Optimizer

from sslbench.kernels.setup import DTYPES, check_precision

Step = Callable[[], torch.Tensor]


def training_step(
    loss: Step,
    optimizer: Optimizer,
    *,
    device: torch.device,
    precision: str,
    weights: str,
    accumulation: int = 1,
    before_update: Callable[[], None] | None = None,
    after_update: Callable[[], None] | None = None,
) -> Step:
    """One optimizer update as a function without arguments, which returns the loss, detached.

    Args:
        loss: the forward pass up to the loss, run under autocast for bf16 and fp16.
        optimizer: has the parameters that are updated.
        device: where the parameters lie.
        precision: `fp32` (no TF32 anywhere), `tf32`, or mixed precision in `bf16` or `fp16`; fp16 scales the loss
            (https://arxiv.org/abs/1710.03740).
        weights: type of the parameters; in half precision there is neither autocast nor loss scaling.
        accumulation: forward and backward passes before the update; the loss is the mean over them.
        before_update: run on the gradients, unscaled, before the update, without gradients of its own.
        after_update: run after the update, without gradients.

    Raises:
        ValueError: see `check_precision`.
    """
    check_precision(precision, weights)
    scaler = torch.amp.GradScaler(device.type) if precision == "fp16" and weights == "fp32" else None

    def step() -> torch.Tensor:
        total: torch.Tensor | None = None
        with float32_math(precision):
            for _ in range(accumulation):
                with autocast(device, precision, weights):
                    value = loss() if accumulation == 1 else loss() / accumulation
                _backward(value, scaler)
                total = value.detach() if total is None else total + value.detach()
                del value  # else its graph lives on through the next forward pass
            if before_update is not None:
                _before(before_update, optimizer, scaler)
            _update(optimizer, scaler)
            if after_update is not None:
                with torch.no_grad():
                    after_update()
        assert total is not None  # noqa: S101 - there is at least one pass
        return total

    return step


def inference_step(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    *,
    device: torch.device,
    precision: str,
    weights: str,
    batches: Iterator[tuple[torch.Tensor, ...]] | None = None,
) -> Step:
    """One forward batch as a function without arguments, which returns the module's output.

    Args:
        module: gives one tensor.
        inputs: its positional inputs.
        device: where it lies.
        precision: as in `training_step`.
        weights: as in `training_step`.
        batches: of which each step takes the next in place of `inputs`.

    Raises:
        ValueError: see `check_precision`.
    """
    check_precision(precision, weights)

    def step() -> torch.Tensor:
        with torch.inference_mode(), float32_math(precision), autocast(device, precision, weights):
            output: torch.Tensor = module(*(inputs if batches is None else next(batches)))
        return output

    return step


def autocast(device: torch.device, precision: str, weights: str) -> AbstractContextManager[object]:
    """Mixed precision where the precision asks for it and the weights are in fp32."""
    if precision not in ("bf16", "fp16") or weights != "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


@contextmanager
def float32_math(precision: str) -> Iterator[None]:
    """fp32 computes in IEEE fp32 and tf32 in TF32; by default torch has TF32 in convolutions, not in matrix products.

    https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices
    """
    if precision not in ("fp32", "tf32"):
        yield
        return
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]  # missing in stubs
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


def _backward(loss: torch.Tensor, scaler: torch.amp.GradScaler | None) -> None:
    scaled = loss if scaler is None else scaler.scale(loss)
    scaled.backward()  # type: ignore[no-untyped-call]


def _before(action: Callable[[], None], optimizer: Optimizer, scaler: torch.amp.GradScaler | None) -> None:
    if scaler is not None:
        scaler.unscale_(optimizer)  # its step sees that, and does not do it again
    with torch.no_grad():
        action()


def _update(optimizer: Optimizer, scaler: torch.amp.GradScaler | None) -> None:
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    optimizer.zero_grad(set_to_none=True)
