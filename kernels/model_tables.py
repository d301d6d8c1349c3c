"""Models as data: the keys of a Hugging Face config.json, from the catalog or from a folder. Imports no torch."""

import json
import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

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


def model_table(model: str) -> tuple[dict[str, Any], str]:
    """The keys of a model's config, and where they are from, for error messages.

    Args:
        model: catalog name, or a folder with a config.json.

    Raises:
        ValueError: the name is unknown, or the file is missing or malformed; names file, key and what was expected.
    """
    if model in MODELS:
        return MODELS[model], f"model {model}"
    path = _config_file(model)
    if path is None:
        near = get_close_matches(model.lower(), MODELS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        known = ", ".join(MODELS)
        raise ValueError(f"no model {model!r}: neither of the catalog ({known}) nor a folder with a config.json{hint}")
    table = _read_json(path)
    _check(table, path)
    return table, str(path)


def _config_file(model: str) -> Path | None:
    """The config.json of a model that is a folder; None for any other."""
    try:
        is_folder = model not in MODELS and Path(model).is_dir()
    except OSError:  # a name that is too long for the system
        is_folder = False
    return Path(model) / "config.json" if is_folder else None


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
