"""Models from the catalog or from a Hugging Face config.json, with random weights, made directly on a device.

Architectures are those of transformers; only the module of the one model is imported.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Any

import torch
import transformers
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.initialization import no_init_weights
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]  # re-exported
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES, MODEL_MAPPING_NAMES

from sslbench.kernels.model_tables import model_table, timm_name
from sslbench.kernels.setup import DTYPES
from sslbench.kernels.timm_models import import_timm

_skip_init: ContextVar[bool] = ContextVar("skip_init", default=False)


@contextmanager
def no_init() -> Iterator[None]:
    """Leave the weights of catalog models uninitialised: a trace on fake tensors needs none of that work."""
    token = _skip_init.set(True)
    try:
        yield
    finally:
        _skip_init.reset(token)


@contextmanager
def constructing(device: torch.device, weights: str = "fp32") -> Iterator[None]:
    """Modules made inside lie on `device` with parameters of type `weights` (a key of `DTYPES`)."""
    if weights not in DTYPES:
        raise ValueError(f"weights: expected one of {', '.join(DTYPES)}, got {weights!r}")
    before = torch.get_default_dtype()
    with ExitStack() as stack:
        if _skip_init.get():
            stack.enter_context(no_init_weights())
        stack.enter_context(device)
        torch.set_default_dtype(DTYPES[weights])
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def model_config(model: str) -> Any:
    """The transformers config of a catalog model, or of a folder that holds a config.json.

    Raises:
        ValueError: the name is unknown, or the file is missing or malformed; names file, key and what was expected.
    """
    table, where = model_table(model)
    return _config_from(table, where=where)


def import_model(model: str) -> None:
    """Import the module of transformers that has this model, and nothing of the others; timm for a model of it.

    Raises:
        ValueError: as `model_config`; or timm is missing or has no such model.
    """
    name = timm_name(model)
    if name is None:
        base_class(model_config(model))
    else:
        import_timm(name)


def masked_lm(config: Any, *, attention: str) -> nn.Module:
    """The model of `config` with its masked language modelling head.

    Raises:
        ValueError: this model type has none.
    """
    model_class = MODEL_FOR_MASKED_LM_MAPPING_NAMES.get(config.model_type)
    if model_class is None:
        raise ValueError(f"a model of type {config.model_type!r} has no masked-LM head: use a model such as bert-base")
    config.use_cache = False  # a decoder's, and in the way of recomputed activations
    return create(model_class, config, attention)


def base_class(config: Any) -> Any:
    """The class of transformers that is this config's model without a head; None where there is none."""
    name = MODEL_MAPPING_NAMES.get(config.model_type)
    return getattr(transformers, name) if isinstance(name, str) else None


def checkpoint_activations(model: nn.Module) -> None:
    """Recompute every block's activations in the backward pass (https://arxiv.org/abs/1604.06174).

    Known limitation: BatchNorm layers inside a block see each batch twice and update their running statistics twice.

    Raises:
        ValueError: the model has no blocks to recompute.
    """
    if getattr(model, "supports_gradient_checkpointing", False):
        # Newer releases of transformers have the first name and warn at the second.
        enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable()
        return
    stages = getattr(getattr(model, "encoder", None), "stages", ())
    blocks = [block for stage in stages for block in getattr(stage, "layers", ())]
    if not blocks:
        raise ValueError(f"{type(model).__name__} does not support activation checkpointing")
    for block in blocks:
        block.forward = _Recomputed(block.forward)


class _Recomputed:
    """A block's forward under torch.utils.checkpoint while gradients are recorded."""

    def __init__(self, forward: Any) -> None:
        self.forward = forward

    def __call__(self, *args: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*args)
        return checkpoint(self.forward, *args, use_reentrant=False)


def create(class_name: str, config: Any, attention: str, **keywords: Any) -> nn.Module:
    """A model of transformers with random weights; `keywords` go to its class.

    Raises:
        ValueError: the config names something that transformers does not have.
    """
    model_class = getattr(transformers, class_name)
    has_attention = getattr(config, "num_attention_heads", None) is not None
    if has_attention:
        config._attn_implementation = attention
    try:
        model: Any = model_class(config, **keywords)
    except KeyError as error:  # such as an activation function that transformers does not have
        raise ValueError(
            f"the model's config names {error}, unknown to transformers {transformers.__version__}"
        ) from error
    model.tie_weights()  # no_init_weights skips it
    assert isinstance(model, nn.Module)  # noqa: S101 - transformers is typed only in part
    return model


def _config_from(table: dict[str, Any], *, where: str) -> Any:
    model_type = table["model_type"]
    if model_type not in CONFIG_MAPPING_NAMES:
        near = get_close_matches(model_type, CONFIG_MAPPING_NAMES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{where}: model_type: transformers {transformers.__version__} has no {model_type!r}{hint}")
    try:
        with _no_remarks():
            config = getattr(transformers, CONFIG_MAPPING_NAMES[model_type]).from_dict(table)
    except Exception as error:  # the classes differ between models; whatever they object to stands in the file
        raise ValueError(f"{where}: {' '.join(str(error.__cause__ or error).split())}") from error
    _check_heads(config, where)
    return config


@contextmanager
def _no_remarks() -> Iterator[None]:
    """Transformers compares a config with its class's default, and remarks on that one's token ids (SigLIP's)."""
    logger = logging.getLogger("transformers.configuration_utils")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _check_heads(config: Any, where: str) -> None:
    width, heads = getattr(config, "hidden_size", None), getattr(config, "num_attention_heads", None)
    if isinstance(width, int) and isinstance(heads, int) and width % heads:
        raise ValueError(f"{where}: hidden_size: expected a multiple of num_attention_heads ({heads}), got {width}")
