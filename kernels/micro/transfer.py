"""Between the host's memory and the device's, from pageable and from page-locked (pinned) memory."""

from functools import partial

import torch

from sslbench.kernels.micro.micro import Call, Micro, Shape


def transfer(device: torch.device, dtype: torch.dtype, shape: Shape, *, to_device: bool, pinned: bool) -> Call:
    """Copies `bytes`; from and to pinned memory without waiting for the copy before."""
    (size,) = shape
    on_host = torch.ones(size // dtype.itemsize, dtype=dtype, pin_memory=pinned)
    on_device = torch.ones_like(on_host, device=device)
    source, target = (on_host, on_device) if to_device else (on_device, on_host)
    return lambda: target.copy_(source, non_blocking=pinned)


MICROS = tuple(
    Micro(
        kernel=name + suffix,
        shape_names=("bytes",),
        build=partial(transfer, to_device=to_device, pinned=pinned),
    )
    for name, to_device in (("host_to_device", True), ("device_to_host", False))
    for suffix, pinned in (("", False), ("_pinned", True))
)
