"""Memory by size: what fits a cache is copied at the cache's rate."""

import torch

from sslbench.kernels.micro.micro import Call, Micro, Shape


def copy(device: torch.device, dtype: torch.dtype, shape: Shape) -> Call:
    """Copies `bytes` from one tensor to another, as STREAM's Copy does: as many are read as are written.

    https://www.cs.virginia.edu/stream/ref.html
    """
    (size,) = shape
    source = torch.ones(size // dtype.itemsize, device=device, dtype=dtype)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


MICROS = (Micro(kernel="copy", shape_names=("bytes",), build=copy),)
