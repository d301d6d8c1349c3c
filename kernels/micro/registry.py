"""All micro-kernels by name."""

from sslbench.kernels.micro import attention, convolution, launch, matmul, memory, transfer
from sslbench.kernels.micro.micro import Micro

MICROS: dict[str, Micro] = {
    micro.kernel: micro for part in (matmul, convolution, attention, memory, launch, transfer) for micro in part.MICROS
}
