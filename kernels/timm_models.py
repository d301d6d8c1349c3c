"""Models of timm (https://github.com/huggingface/pytorch-image-models), with random weights, by `timm:NAME`.

timm is optional: nothing is imported before a model of it is asked for.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from torch import nn

from sslbench.kernels.setup import Setup


def import_timm(name: str) -> Any:
    """The package timm, if it is here and has this model.

    Raises:
        ValueError: timm or torchvision cannot be imported, or there is no such model; says what to do.
    """
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise ValueError(
            f"model timm:{name} needs timm and torchvision ({error}): pip install 'sslbench[timm]'"
        ) from error
    architecture = name.partition(".")[0]  # what follows the dot names weights
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), n=1)
        hint = f": did you mean timm:{near[0]}?" if near else ""
        raise ValueError(f"timm {timm.__version__} has no model {name!r}{hint}")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # no such weights of this model
        raise ValueError(f"model timm:{name}: {error}") from error
    return timm


def timm_channels(name: str) -> int:
    """Channels of a model's images.

    Raises:
        ValueError: as `import_timm`.
    """
    configuration = import_timm(name).get_pretrained_cfg(name)
    return 3 if configuration is None else int(configuration.input_size[0])  # 3 is every timm model's default


def timm_network(setup: Setup, name: str, *, image_size: int, classes: int = 0) -> Any:
    """A model with its own pooling, and with `classes` also its own classifier; call it under `constructing`.

    Args:
        setup: how the model is run.
        name: timm's name, with or without that of weights (`resnet50`, `vit_base_patch16_224.mae`).
        image_size: height and width in pixels; models of one size are made for it.
        classes: outputs of the classifier; 0 for pooled features.

    Raises:
        ValueError: there is no timm or no such model, or the model cannot be made so.
    """
    timm = import_timm(name)
    size = {"img_size": image_size} if _has_one_size(timm, name) else {}
    with _attention(timm, setup.attention):
        try:
            network = timm.create_model(name, num_classes=classes, **size)
        except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"timm cannot make {name} for image_size {image_size}: {reason}") from error
    _check_patches(network, image_size)
    if setup.activation_checkpointing:
        _recompute(network, name)
    return network


def _has_one_size(timm: Any, name: str) -> bool:
    configuration = timm.get_pretrained_cfg(name)
    return configuration is not None and bool(configuration.fixed_input_size)


def _check_patches(network: nn.Module, image_size: int) -> None:
    """Timm itself would leave the last pixels out."""
    patches = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    patch = patches if isinstance(patches, int) else patches[0]
    if image_size % patch:
        raise ValueError(f"image_size: expected a multiple of the model's patch size ({patch}), got {image_size}")


@contextmanager
def _attention(timm: Any, attention: str) -> Iterator[None]:
    """Layers of timm ask when they are made whether attention is fused (`sdpa`) or written out (`eager`)."""
    before = timm.layers.config._USE_FUSED_ATTN  # timm can set it, but not tell it
    timm.layers.set_fused_attn(attention == "sdpa")
    try:
        yield
    finally:
        timm.layers.config._USE_FUSED_ATTN = before


def _recompute(network: nn.Module, name: str) -> None:
    enable: Any = getattr(network, "set_grad_checkpointing", None)
    try:
        if enable is None:
            raise NotImplementedError
        enable(True)
    except (AssertionError, NotImplementedError) as error:
        raise ValueError(f"timm:{name} does not support activation checkpointing") from error
