"""Whether an operator's tensors lie together: a layer left on the host would fail on the GPU, and not be counted."""

from collections.abc import Iterator
from typing import Any

import torch

from sslbench.bench.trace.tensor import TracedTensor

# What takes tensors of the host on CUDA as well: copies, indices and lengths, which the kernel moves (`div`: ctc_loss
# divides by its lengths).
_TAKE_BOTH = frozenset(
    """
    copy_ _to_copy _foreach_copy_ set_ index index_put index_put_ _index_put_impl_ repeat_interleave _ctc_loss
    _ctc_loss_backward div _pack_padded_sequence _pack_padded_sequence_backward _cudnn_rnn _cudnn_rnn_backward
    """.split()  # noqa: SIM905 - one line instead of fifteen
)


def check_devices(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Refuse what CUDA refuses; a single number of the host takes part everywhere.

    Raises:
        RuntimeError: in the words of torch.
    """
    namespace, _, name = func._schema.name.partition("::")
    if namespace != "aten" or name in _TAKE_BOTH:
        return
    on_host = {_is_on_host(tensor) for tensor in _tensors((*args, *kwargs.values())) if tensor.dim() > 0}
    if len(on_host) > 1:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found two devices, cuda:0 and cpu, in {name}: "
            "move the model and its inputs to the device that the factory is given"
        )


def _is_on_host(tensor: torch.Tensor) -> bool:
    return tensor._spec[4] if isinstance(tensor, TracedTensor) else tensor.device.type == "cpu"


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
