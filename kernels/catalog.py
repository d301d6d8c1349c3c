"""The catalog as data: recipes by name, models by name, objectives by file. Imports no torch."""

import pkgutil
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from sslbench.kernels import objectives

MODELS: dict[str, dict[str, Any]] = {
    # Table 1 of https://arxiv.org/abs/1810.04805, vocabulary of the uncased models.
    "bert-base": {"model_type": "bert"},
    "bert-large": {
        "model_type": "bert",
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
    # Table 1 of https://arxiv.org/abs/1908.08962.
    "bert-mini": {
        "model_type": "bert",
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
    },
    # Table 1 of https://arxiv.org/abs/1512.03385; as in torchvision, the 3x3 convolution of a block has the stride.
    "resnet18": {
        "model_type": "resnet",
        "layer_type": "basic",
        "hidden_sizes": [64, 128, 256, 512],
        "depths": [2, 2, 2, 2],
    },
    "resnet50": {
        "model_type": "resnet",
        "layer_type": "bottleneck",
        "hidden_sizes": [256, 512, 1024, 2048],
        "depths": [3, 4, 6, 3],
    },
}
"""Keys of a Hugging Face config.json by catalog name; a key that is missing has the default of its model type."""


@cache
def recipe_texts() -> dict[str, str]:
    """The TOML of every shipped recipe, by name, sorted."""
    shipped = (
        entry for entry in files("sslbench.kernels").joinpath("recipes").iterdir() if entry.name.endswith(".toml")
    )
    return {
        entry.name.removesuffix(".toml"): entry.read_text("utf-8") for entry in sorted(shipped, key=lambda e: e.name)
    }


@cache
def recipe_tables() -> dict[str, dict[str, Any]]:
    """Every shipped recipe, by name: the keys of a recipe TOML."""
    return {name: tomllib.loads(text) for name, text in recipe_texts().items()}


@cache
def objective_names() -> tuple[str, ...]:
    """Names of the objectives that can be built: the modules of `sslbench.kernels.objectives`."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(objectives.__path__)))
