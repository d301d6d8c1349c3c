"""All micro-kernels by name."""

from sslbench.kernels.micro import attention, convolution, cpu_overhead, cpu_streams, launch, matmul, memory, transfer
from sslbench.kernels.micro.micro import Micro

_PARTS = (matmul, convolution, attention, memory, launch, transfer, cpu_streams, cpu_overhead)
MICROS: dict[str, Micro] = {micro.kernel: micro for part in _PARTS for micro in part.MICROS}
