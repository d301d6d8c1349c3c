"""NVIDIA's training scripts of BERT, which Lambda's benchmark runs too. Factories: `bert_steps.py:NAME`, with options.

The model is transformers' with eager attention, which launches what NVIDIA's does, but for bias and GELU: a bias that
is added in the matrix product there and fused with GELU here moves the same bytes.
Source: https://github.com/NVIDIA/DeepLearningExamples/tree/master/PyTorch/LanguageModeling/BERT
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import transformers
from transformers.models.bert.modeling_bert import BertLayer

from sslbench.kernels.step import float32_math

Step = Callable[[], None]

_SIZES: dict[str, dict[str, int]] = {
    "base": {},
    "base-6-layers": {"num_hidden_layers": 6},
    "base-384-wide": {"hidden_size": 384},
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}
_VOCABULARY = 30528
"""BERT's 30522 tokens, padded to a multiple of 8 as NVIDIA has it."""


def squad(
    device: torch.device, *, model: str = "base", batch_size: int = 16, seq_len: int = 384, precision: str = "fp16"
) -> Step:
    """One update of run_squad.py: the ends of the answer, gradients clipped.

    Args:
        device: where it runs.
        model: `base` or `large`.
        batch_size: sequences (B).
        seq_len: tokens a sequence (L).
        precision: `fp16` is apex's O2 (model in fp16, FusedAdam on master weights in fp32, a loss scale); `tf32` and
            `fp32` update with BertAdam, tensor by tensor.
    """
    network = _network(device, transformers.BertForQuestionAnswering, model, precision)
    inputs = _inputs(device, batch_size, seq_len)
    ends = {name: torch.zeros(batch_size, dtype=torch.long, device=device) for name in ("start", "end")}
    parameters: list[torch.Tensor] = list(network.parameters())
    update = _fused_adam(parameters) if precision == "fp16" else _bert_adam(parameters)

    def step() -> None:
        with float32_math(precision):
            output = network(**inputs)
            losses = (
                torch.nn.functional.cross_entropy(logits.float(), ends[name])
                for name, logits in (("start", output.start_logits), ("end", output.end_logits))
            )
            (sum(losses) * (65536.0 if precision == "fp16" else 1.0)).backward()  # type: ignore[union-attr]
            update()
            network.zero_grad(set_to_none=True)

    return step


def pretraining(
    device: torch.device, *, model: str = "large", batch_size: int = 64, seq_len: int = 128, precision: str = "fp16"
) -> Step:
    """One of the many micro-batches between two updates of run_pretraining.py: gradients add up, nothing is updated.

    The head predicts every token, masked or not, as the script of 2020 has it.

    Args:
        device: where it runs.
        model: `base` or `large`.
        batch_size: sequences of a micro-batch (B).
        seq_len: tokens a sequence (L).
        precision: `fp16` (the model in fp16), `tf32` or `fp32`.
    """
    network = _network(device, transformers.BertForPreTraining, model, precision)
    inputs = _inputs(device, batch_size, seq_len)
    labels = torch.zeros((batch_size, seq_len), dtype=torch.long, device=device)
    follows = torch.zeros(batch_size, dtype=torch.long, device=device)

    def step() -> None:
        with float32_math(precision):
            output = network(**inputs)
            words = torch.nn.functional.cross_entropy(output.prediction_logits.flatten(0, 1), labels.flatten())
            pairs = torch.nn.functional.cross_entropy(output.seq_relationship_logits, follows)
            ((words + pairs).float() / 512).backward()  # type: ignore[no-untyped-call]

    return step


def inference(
    device: torch.device, *, model: str = "large", batch_size: int = 1, seq_len: int = 128, precision: str = "fp16"
) -> Step:
    """One forward batch of run_squad.py.

    Args:
        device: where it runs.
        model: a key of the table above.
        batch_size: sequences (B).
        seq_len: tokens a sequence (L).
        precision: `fp16` (the model in fp16), `tf32` or `fp32`.
    """
    network = _network(device, transformers.BertForQuestionAnswering, model, precision).eval()
    inputs = _inputs(device, batch_size, seq_len)

    def step() -> None:
        with float32_math(precision), torch.no_grad():
            network(**inputs)

    return step


def layer(device: torch.device, *, batch_size: int = 128, seq_len: int = 128, backward: bool = True) -> Step:
    """A layer of BERT-large in fp16, as mli/transformers-benchmarks times it: gradients add up.

    https://github.com/mli/transformers-benchmarks/blob/main/micro_bench.ipynb

    Args:
        device: where it runs.
        batch_size: sequences (B).
        seq_len: tokens a sequence (L).
        backward: forward and backward, not forward alone.
    """
    network = _network(device, BertLayer, "large", "fp16")
    hidden = torch.randn((batch_size, seq_len, 1024), dtype=torch.float16, device=device)

    def step() -> None:
        output = network(hidden)[0]
        if backward:
            output.sum().backward()

    return step


def _network(device: torch.device, build: Any, model: str, precision: str) -> Any:
    build_config: Any = transformers.BertConfig
    config = build_config(vocab_size=_VOCABULARY, **_SIZES[model])
    config._attn_implementation = "eager"
    torch.set_default_dtype(torch.float16 if precision == "fp16" else torch.float32)
    try:
        with device:
            return build(config).train()
    finally:
        torch.set_default_dtype(torch.float32)


def _inputs(device: torch.device, batch_size: int, seq_len: int) -> dict[str, torch.Tensor]:
    shape = (batch_size, seq_len)
    ids = {name: torch.zeros(shape, dtype=torch.long, device=device) for name in ("input_ids", "token_type_ids")}
    return {**ids, "attention_mask": torch.ones(shape, device=device)}


def _fused_adam(parameters: list[torch.Tensor]) -> Step:
    """O2 of apex: gradients to fp32 and unscaled, clipped, one fused Adam on the masters, and those back to fp16."""
    masters = [parameter.detach().float() for parameter in parameters]
    for master in masters:
        master.grad = torch.zeros_like(master)
    optimizer = torch.optim.Adam(masters, lr=3e-5, fused=True)

    @torch.no_grad()
    def update() -> None:
        torch._foreach_copy_(_gradients(masters), _gradients(parameters))
        torch.nn.utils.clip_grad_norm_(masters, 1.0).item()  # the host waits, as for the loss scale's overflow
        optimizer.step()
        torch._foreach_copy_(parameters, masters)

    return update


def _bert_adam(parameters: list[torch.Tensor]) -> Step:
    """Adam as pytorch-pretrained-BERT wrote it, a dozen small kernels for every tensor."""
    moments = [(torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in parameters]

    @torch.no_grad()
    def update() -> None:
        torch.nn.utils.get_total_norm(_gradients(parameters)).item()  # the host waits for it
        for parameter, gradient, (first, second) in zip(parameters, _gradients(parameters), moments, strict=True):
            first.mul_(0.9).add_(gradient, alpha=0.1)
            second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            change = first / (second.sqrt() + 1e-6)
            change += 0.01 * parameter
            parameter.add_(-(3e-5 * change))

    return update


def _gradients(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor.grad for tensor in tensors if tensor.grad is not None]
