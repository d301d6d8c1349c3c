"""LoRA: fine-tuning through low-rank updates of frozen weights.

Paper: https://arxiv.org/abs/2106.09685. A chosen weight W becomes W + alpha / rank * B A, of which only A and B are
trained, beside the classifier; by default the weights that make queries and values are chosen (Section 4.2). Rank 8,
alpha 8 and a learning rate of 5e-4 are those of RoBERTa base on GLUE (Appendix D.1). The adapters are those of peft
(https://github.com/huggingface/peft), the classifier that of `finetune`.

Shapes: N samples, K classes.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from sslbench.kernels.backbones import Sizes
from sslbench.kernels.classifiers import Classifier, check_smoothing, classifier, labelled
from sslbench.kernels.data.augmentation import SUPERVISED
from sslbench.kernels.models import constructing
from sslbench.kernels.objectives import finetune
from sslbench.kernels.setup import Inference, Setup, Training


def _import_peft() -> tuple[Any, str]:
    """Peft, or why there is none."""
    try:
        return importlib.import_module("peft"), ""
    except ImportError as error:
        return None, str(error)


_peft, _missing = _import_peft()  # here, so that it is imported before a step is built

_LAYERS = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, Conv1D)
# Names that models give to the layers that make queries and values, apart or together with the keys.
_QUERY_VALUE = (
    {"query", "value"},
    {"q_proj", "v_proj"},
    {"q_lin", "v_lin"},
    {"c_attn"},
    {"query_key_value"},
    {"Wqkv"},
    {"qkv"},
)


def train(
    setup: Setup,
    *,
    image_size: int | None = None,
    seq_len: int | None = None,
    seconds: float | None = None,
    classes: int = 1000,
    smoothing: float = 0.0,
    rank: int = 8,
    alpha: int = 8,
    dropout: float = 0.0,
    target_modules: str = "",
) -> Training:
    """Low-rank fine-tuning on synthetic samples with synthetic labels (N).

    Args:
        setup: model, batch and how it is run.
        image_size: height and width in pixels, for images.
        seq_len: tokens a sequence, for text.
        seconds: length of a sound, at 16 kHz.
        classes: outputs of the classifier (K), which is trained in full.
        smoothing: part of a label that is spread over all classes.
        rank: of every update.
        alpha: the update's scale, as a multiple of 1 / rank.
        dropout: of what an update takes.
        target_modules: names of the layers to update, with commas; empty: those that make queries and values.

    Raises:
        ValueError: peft is missing, the model has no such layers, or as `finetune.train`.
    """
    _check(rank, alpha, dropout)
    check_smoothing(smoothing)
    sizes = Sizes(image_size=image_size, seq_len=seq_len, seconds=seconds)
    network = classifier(setup, sizes, classes=classes)
    targets = _targets(network, target_modules)
    config = _peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=list(targets),
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in targets.values()),
    )
    with constructing(setup.device, setup.weights):
        _adapt(network, config)

    def loss(samples: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        return finetune.loss_of(network(samples), labels_N, smoothing)

    return Training(
        network=network,
        inputs=labelled(setup, sizes, classes=classes),
        loss=loss,
        learning_rate=5e-4,
        weight_decay=0.0,
        augmentations=SUPERVISED,
    )


def inference(
    setup: Setup,
    *,
    image_size: int | None = None,
    seq_len: int | None = None,
    seconds: float | None = None,
    classes: int = 1000,
) -> Inference:
    """The classifier with its updates merged into the weights, which leaves it as it was (Section 4.1); logits (N, K).

    Raises:
        ValueError: as `finetune.inference`.
    """
    return finetune.inference(setup, image_size=image_size, seq_len=seq_len, seconds=seconds, classes=classes)


def _adapt(network: Classifier, config: Any) -> None:
    """Add the adapters, and freeze all but them and the classifier."""
    _peft.inject_adapter_in_model(config, network.network)
    for head in network.heads:
        head.requires_grad_(True)


def _targets(network: Classifier, named: str) -> dict[str, nn.Module]:
    """The layers to update, one for each last name."""
    heads = {module for head in network.heads for module in head.modules()}
    layers = {
        name.rpartition(".")[2]: module
        for name, module in network.network.named_modules()
        if isinstance(module, _LAYERS) and module not in heads
    }
    found = [part.strip() for part in named.split(",")] if named else _queries_and_values(layers)
    missing = [name for name in found if name not in layers]
    if missing or not found:
        problem = f"the model has no layer {missing[0]!r}" if missing else "the model has no queries and values"
        raise ValueError(f"target_modules: {problem}: name some of its layers: {', '.join(sorted(layers))}")
    return {name: layers[name] for name in found}


def _queries_and_values(layers: Mapping[str, nn.Module]) -> list[str]:
    return next((sorted(names) for names in _QUERY_VALUE if names <= layers.keys()), [])


def _check(rank: int, alpha: int, dropout: float) -> None:
    if _peft is None:
        raise ValueError(f"objective lora needs peft ({_missing}): pip install 'sslbench[lora]'")
    for key, value in (("rank", rank), ("alpha", alpha)):
        if value < 1:
            raise ValueError(f"{key}: expected a positive integer, got {value}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a number from 0 to below 1, got {dropout}")
