"""What it takes eager PyTorch to start an operator that has almost nothing to do."""

import torch

from sslbench.kernels.micro.micro import Call, Micro, Shape, randn

CALLS = 100


def dispatch(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Additions of one element, one after the other; on a GPU the host is kept busy, not the device."""
    x = randn(device, dtype, 1)

    def run() -> None:
        for _ in range(CALLS):
            torch.add(x, x)

    return run


MICROS = (Micro(kernel="dispatch", build=dispatch, calls=CALLS),)
