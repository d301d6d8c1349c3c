"""Models as data: the keys of a Hugging Face config.json, from the catalog, a folder or the hub. Imports no torch."""

import json
import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from sslbench.kernels.hub import cached_config, downloaded_config, is_hub_id

MODELS: dict[str, dict[str, Any]] = tomllib.loads(files("sslbench.kernels").joinpath("models.toml").read_text("utf-8"))
"""Keys of a Hugging Face config.json by catalog name; a key that is missing has the default of its model type."""


# Keys that every model type reads as a size; a wrong one would fail deep inside torch.
_SIZE_KEYS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "num_channels",
    "embedding_size",
)


TIMM = "timm:"
"""What names of timm's models begin with."""


def timm_name(model: str) -> str | None:
    """Name within timm of a model that is called `timm:NAME`; None for any other."""
    return model.removeprefix(TIMM) if model.startswith(TIMM) else None


def model_table(model: str) -> tuple[dict[str, Any], str]:
    """The keys of a model's config, and where they are from, for error messages.

    Args:
        model: catalog name, a folder with a config.json, or a hub id.

    Raises:
        ValueError: the name is unknown, or the file is missing or malformed; names file, key and what was expected.
    """
    if model in MODELS:
        return MODELS[model], f"model {model}"
    path = config_file(model) or _from_hub(model)
    table = _read_json(path)
    _check(table, path)
    return table, str(path)


def config_file(model: str) -> Path | None:
    """The config.json of a model that is a folder or in the local cache of the hub; None for any other."""
    if model in MODELS or timm_name(model) is not None:
        return None
    try:
        is_folder = Path(model).is_dir()
    except OSError:  # a name that is too long for the system
        is_folder = False
    return Path(model) / "config.json" if is_folder else cached_config(model)


def _from_hub(model: str) -> Path:
    """A hub id has its owner: a name without one is more likely a slip, which is told without asking the hub."""
    if timm_name(model) is not None:
        raise ValueError(f"model {model!r}: a model of timm has no config.json, and encodes images only")
    if model.count("/") == 1 and is_hub_id(model):
        return downloaded_config(model)
    near = get_close_matches(model.lower(), MODELS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else f"; the catalog has {', '.join(MODELS)}"
    raise ValueError(
        f"no model {model!r}: neither of the catalog, nor a folder with a config.json, nor timm:NAME, "
        f"nor owner/name of the Hugging Face hub{hint}"
    )


def _check(table: dict[str, Any], path: Path) -> None:
    model_type = table.get("model_type")
    if not isinstance(model_type, str):
        raise ValueError(f"{path}: model_type: expected a name such as 'bert', got {model_type!r}")
    for key in _SIZE_KEYS:
        value = table.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{path}: {key}: expected a positive integer, got {value!r}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(table).__name__}")
    return table
