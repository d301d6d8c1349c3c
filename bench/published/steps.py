"""The steps behind published measurements, as their scripts have them. Factories: `steps.py:NAME`, with options.

Nothing here is part of the catalog: other people chose these steps, and what they keep alive counts in their numbers.
"""

from collections.abc import Callable
from typing import Any

import torch
import transformers

Step = Callable[[], None]

_ALBERT = {
    "vocab_size": 30000,
    "embedding_size": 128,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # BERT's word embeddings are not shared with the decoder there, as the memory of short sequences says.
    "bert-base": ("BertForMaskedLM", "BertConfig", {"tie_word_embeddings": False}),
    "albert-base": ("AlbertModel", "AlbertConfig", _ALBERT),
    "albert-base-classifier": ("AlbertForSequenceClassification", "AlbertConfig", _ALBERT),
    "biogpt": ("BioGptForCausalLM", "BioGptConfig", {}),
    "electra-base-generator": (
        "ElectraForMaskedLM",
        "ElectraConfig",
        {
            "hidden_size": 256,
            "embedding_size": 768,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
            "num_hidden_layers": 12,
        },
    ),
}


def attention_training(
    device: torch.device,
    *,
    model: str,
    batch_size: int,
    seq_len: int,
    attention: str = "sdpa",
    loss: str = "sum",
) -> Step:
    """Forward and backward on weights in fp16, without an optimizer, as Hugging Face's attention tables have it.

    The loop frees gradients first, and holds the last output until the next one is there.

    Args:
        device: where it runs.
        model: a key of the table above.
        batch_size: sequences (B).
        seq_len: tokens a sequence (L).
        attention: `eager` or `sdpa`.
        loss: `sum` of the model's first output, or the model's own against `labels`.
    """
    network = _half(device, model, attention).train()
    ids = torch.zeros((batch_size, seq_len), dtype=torch.long, device=device)
    mask = torch.ones((batch_size, seq_len), dtype=torch.long, device=device)
    extra = {"labels": ids} if loss == "labels" else {}
    last: list[Any] = []

    def step() -> None:
        network.zero_grad()
        output = network(input_ids=ids, attention_mask=mask, **extra)
        last[:] = [output]
        (output.loss if extra else output[0].sum()).backward()

    return step


def attention_inference(
    device: torch.device, *, model: str, batch_size: int, seq_len: int, attention: str = "sdpa"
) -> Step:
    """One forward batch on weights in fp16 with the first token masked, as Hugging Face's attention tables have it.

    The outputs of the first call and of the last one are held.
    """
    network = _half(device, model, attention).eval()
    ids = torch.zeros((batch_size, seq_len), dtype=torch.long, device=device)
    mask = torch.ones((batch_size, seq_len), device=device)
    mask[0, 0] = 0
    held: list[Any] = []

    def step() -> None:
        with torch.inference_mode():
            output = network(input_ids=ids, attention_mask=mask)
        held[1:] = [output]

    return step


def trainer(device: torch.device, *, batch_size: int = 2, seq_len: int = 16) -> Step:
    """GPT-2 in the Trainer of transformers: AdamW, gradients clipped, gradients freed after the update."""
    network: Any = transformers.GPT2LMHeadModel(transformers.GPT2Config(use_cache=False))
    network.loss_type = "ForCausalLM"  # as transformers takes it by itself, with a remark
    network.to(device)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5)
    tokens = torch.zeros((batch_size, seq_len), dtype=torch.long)

    def step() -> None:
        ids = tokens.to(device)
        network(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        network.zero_grad()

    return step


def resnet50(device: torch.device, *, batch_size: int = 128, precision: str = "tf32") -> Step:
    """NVIDIA's ResNet-50 v1.5 training script: 224 px, 1000 classes, SGD with momentum, autocast in fp16 or none."""
    with device:
        config: Any = transformers.ResNetConfig
        network: Any = transformers.ResNetForImageClassification(config(num_labels=1000))
        images = torch.randn(batch_size, 3, 224, 224)
        classes = torch.zeros(batch_size, dtype=torch.long)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.float16, enabled=precision == "fp16"):
            loss = torch.nn.functional.cross_entropy(network(images).logits, classes)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def _half(device: torch.device, model: str, attention: str) -> Any:
    class_name, config_name, keys = _MODELS[model]
    config = getattr(transformers, config_name)(**keys)
    config._attn_implementation = attention
    torch.set_default_dtype(torch.float16)
    try:
        with device:
            return getattr(transformers, class_name)(config)
    finally:
        torch.set_default_dtype(torch.float32)
