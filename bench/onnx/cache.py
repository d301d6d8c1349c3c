"""Exported models kept on disk: the same step is exported once. Imports no torch.

A model is found by everything that it depends on: the recipe, the libraries' versions and our own code. Oldest ones go
when all together exceed `LARGEST_BYTES`. The folder may be deleted at any time.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from sslbench.bench.environment import package_version
from sslbench.bench.errors import MeasureError
from sslbench.bench.onnx.exported import is_whole
from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.cache import code_stamps, config_digest
from sslbench.hardware_profiles.kept import FOLDER_VARIABLE

LARGEST_BYTES = 4 * 2**30
"""Most that all kept models take; the latest one stays whatever its size."""
_PACKAGES = (
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "transformers",
    "timm",
    "peft",
    "sslbench",
)
_CODE = ("bench/onnx", "bench/build.py", "kernels")
_WORDS = {"name", "title", "paper", "optimizer", "activation_checkpointing", "compile", "expandable_segments"}
"""Fields of a recipe that change nothing in its inference step."""
_SCRATCH = ".making-"
_ABANDONED_SECONDS = 24 * 3600.0


def model_folder() -> Path:
    """Where models are kept: `$SSLBENCH_CACHE_DIR/onnx`, else the system's folder for caches."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return (Path(chosen) if chosen else user_cache_path("sslbench")) / "onnx"


class ModelCache:
    """Folders of exported models by what they depend on.

    Args:
        folder: where they lie; None keeps nothing.
        largest_bytes: most that they take.
    """

    def __init__(self, folder: Path | None, largest_bytes: int = LARGEST_BYTES) -> None:
        self.folder = folder
        self._largest_bytes = largest_bytes

    def model(self, recipe: Recipe, opset: int | None, make: Callable[[Path], None], otherwise: Path) -> Path:
        """The folder of a recipe's model, made now if none is kept, or if one of its files was damaged.

        Args:
            recipe: whose inference step it is.
            opset: the operator set that was asked for.
            make: writes the model into an empty folder.
            otherwise: a folder to make it in where none can be kept, on a disk that is read-only or full.

        Raises:
            MeasureError: of `make`; or the model cannot be written anywhere.
        """
        kept = None if self.folder is None else self.folder / _key(recipe, opset)
        if kept is not None and is_whole(kept):
            with suppress(OSError):  # of somebody else
                os.utime(kept)
            return kept
        if kept is not None and self._make_kept(kept, make):
            return kept
        try:
            otherwise.mkdir(parents=True, exist_ok=True)
            make(otherwise)
        except OSError as error:
            raise MeasureError(f"{otherwise}: the exported model cannot be written: {error}") from error
        return otherwise

    def _make_kept(self, kept: Path, make: Callable[[Path], None]) -> bool:
        """Whether it could be written and moved into place."""
        scratch = None
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=kept.parent, prefix=_SCRATCH))
            make(scratch)
            shutil.rmtree(kept, ignore_errors=True)  # the damaged one
            with suppress(OSError):  # another process was faster: its model is the same
                scratch.rename(kept)
            _shrink(kept.parent, kept, self._largest_bytes)
        except OSError:
            return False
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)
        return is_whole(kept)


def _key(recipe: Recipe, opset: int | None) -> str:
    facts: dict[str, Any] = {
        "recipe": recipe.model_dump(exclude=_WORDS),
        "config": config_digest(recipe),
        "opset": opset,
        "versions": {name: package_version(name) for name in _PACKAGES},
        "code": code_stamps(_CODE),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _shrink(folder: Path, latest: Path, largest_bytes: int) -> None:
    """Delete the models that were used longest ago, and what a process that was killed left behind."""
    now, held = time.time(), _size(latest)
    entries = [path for path in folder.iterdir() if path.is_dir() and path != latest]
    for path in sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True):
        if path.name.startswith(_SCRATCH):
            is_dispensable = now - path.stat().st_mtime > _ABANDONED_SECONDS
        else:
            held += _size(path)
            is_dispensable = held > largest_bytes
        if is_dispensable:
            shutil.rmtree(path, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
