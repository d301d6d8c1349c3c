"""A backbone with a classifier on top, as one has it for the second stage: images, text or sound to logits.

Shapes: N samples, F features, K classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from sslbench.kernels.audio import without_masks
from sslbench.kernels.backbones import Modality, Sizes, modality_of, synthetic_inputs
from sslbench.kernels.encoders import image_encoder, laid_out
from sslbench.kernels.model_tables import timm_name
from sslbench.kernels.models import checkpoint_activations, constructing, create, model_config
from sslbench.kernels.setup import Setup
from sslbench.kernels.timm_models import timm_network


class Classifier(nn.Module):
    """Samples to logits (N, K)."""

    def __init__(self, network: nn.Module, heads: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.network = network
        self.heads = heads
        """The parts of `network` that are the classifier; the rest is the backbone."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (N, K)."""
        output = self.network(inputs)
        logits: torch.Tensor = output if isinstance(output, torch.Tensor) else output.logits
        return logits


def classifier(setup: Setup, sizes: Sizes, *, classes: int) -> Classifier:
    """The setup's model with a new classifier: transformers' own for text and sound, timm's own for a model of timm.

    On a model of transformers for images it is one linear layer on the pooled features, as in
    ViTForImageClassification and ResNetForImageClassification.

    Raises:
        ValueError: fewer than two classes, a model that nothing can be classified with, or see `modality_of`.
    """
    check_classes(classes)
    modality = modality_of(setup, sizes)
    if modality == "image":
        return _of_images(setup, sizes.image_size or 0, classes)
    config = model_config(setup.model)
    names: Mapping[str, str] = _CLASSES[modality]
    name = names.get(config.model_type)
    if name is None:
        raise ValueError(f"a model of type {config.model_type!r} has no classifier: use a model such as bert-base")
    config.num_labels, config.problem_type = classes, "single_label_classification"
    if modality == "audio":
        without_masks(config)
    elif getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = 0  # decoders look for the last token that is no padding
    config.use_cache = False
    with constructing(setup.device, setup.weights):
        network: Any = create(name, config, setup.attention)
    if modality == "audio":
        # "the feature encoder is not trained": https://arxiv.org/abs/2006.11477, Section 4.2
        network.freeze_feature_encoder()
    if setup.activation_checkpointing:
        checkpoint_activations(network)
    return Classifier(network, tuple(part for part in network.children() if part is not network.base_model))


_CLASSES: dict[Modality, Mapping[str, str]] = {
    "text": MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "audio": MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
}


def labelled(setup: Setup, sizes: Sizes, *, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One synthetic batch with its labels (N)."""
    inputs = synthetic_inputs(setup, modality_of(setup, sizes), sizes)
    return inputs, synthetic_labels(setup, classes)


def synthetic_labels(setup: Setup, classes: int) -> torch.Tensor:
    """Evenly distributed classes (N)."""
    return torch.randint(classes, (setup.batch_size,), device=setup.device)


def check_classes(classes: int) -> None:
    """A classifier tells at least two classes apart.

    Raises:
        ValueError: fewer are asked for.
    """
    if classes < 2:
        raise ValueError(f"classes: expected at least 2, got {classes}: without a choice there is nothing to train")


def check_smoothing(smoothing: float) -> None:
    """What is smoothed away of a label is a part of it.

    Raises:
        ValueError: it is not from 0 to below 1.
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing: expected a number from 0 to below 1, got {smoothing}")


def _of_images(setup: Setup, image_size: int, classes: int) -> Classifier:
    name = timm_name(setup.model)
    with constructing(setup.device, setup.weights):
        if name is not None:
            network: Any = timm_network(setup, name, image_size=image_size, classes=classes)
            return Classifier(laid_out(network, setup), _as_tuple(network.get_classifier()))
    encoder = image_encoder(setup, image_size=image_size)
    with constructing(setup.device, setup.weights):
        head = nn.Linear(encoder.features, classes)
    return Classifier(nn.Sequential(encoder, head), (head,))


def _as_tuple(modules: nn.Module | tuple[nn.Module, ...]) -> tuple[nn.Module, ...]:
    return modules if isinstance(modules, tuple) else (modules,)  # distilled models have two classifiers
