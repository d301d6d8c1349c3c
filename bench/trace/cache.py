"""Traces kept on disk: a second question about the same step is answered without importing torch.

A trace is found by everything that it depends on: the recipe, the target, the libraries' versions and sslbench's own
code. The folder may be deleted at any time.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from sslbench.bench.environment import package_version
from sslbench.bench.errors import OutputError
from sslbench.bench.files import write_atomically
from sslbench.bench.recipe import Recipe
from sslbench.bench.trace.events import Target, Trace
from sslbench.hardware_profiles.kept import FOLDER_VARIABLE
from sslbench.kernels.model_tables import config_file

LIBRARIES = ("torch", "transformers", "timm", "peft", "sslbench")
_CODE = ("bench/trace", "bench/build.py", "kernels")
_ROOT = Path(__file__).parents[2]
_WORDS = ("name", "title", "paper", "budget", "expandable_segments", "compile")
"""Fields of a recipe that change nothing in a trace."""


def cache_folder() -> Path:
    """Where traces are kept: `$SSLBENCH_CACHE_DIR`, else the system's folder for caches."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else user_cache_path("sslbench") / "traces"


class TraceCache:
    """Traces by what they depend on, one JSON file each.

    Args:
        folder: where they lie; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def load(self, recipe: Recipe, target: Target, capability: tuple[int, int]) -> Trace | None:
        """The trace, if it is kept and whole."""
        path = self._path(recipe, target, capability)
        if path is None:
            return None
        try:
            return Trace.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or damaged: it is traced again

    def save(self, recipe: Recipe, target: Target, capability: tuple[int, int], trace: Trace) -> None:
        """Keep a trace; a full or read-only disk only means that it is traced again next time."""
        path = self._path(recipe, target, capability)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(trace.to_json(), separators=(",", ":")))
        except (OSError, OutputError):
            return

    @cached_property
    def _software(self) -> dict[str, Any]:
        """Versions and our own code, which do not change while a command runs."""
        return {"versions": {name: package_version(name) or "" for name in LIBRARIES}, "code": code_stamps(_CODE)}

    def _path(self, recipe: Recipe, target: Target, capability: tuple[int, int]) -> Path | None:
        # A factory may import anything: nothing tells when its answer changes.
        if self.folder is None or recipe.factory:
            return None
        facts = {
            "recipe": recipe.model_dump(exclude=set(_WORDS)),
            "config": config_digest(recipe),
            "target": target,
            "capability": capability,
            "threads": _threads() if target == "cpu" else None,
            **self._software,
        }
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{key}.json"


def _threads() -> list[Any]:
    """What decides on how many threads torch computes, and so what its CPU kernels hold."""
    return [os.cpu_count(), *(os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"))]


def config_digest(recipe: Recipe) -> str:
    """Digest of the config.json of a model that is a folder, or in the local cache of the Hugging Face hub."""
    path = config_file(recipe.model) if recipe.model else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""


def code_stamps(places: Sequence[str]) -> list[Any]:
    """Size and time of change of our own files in some places: folders, or Python files."""
    files = [
        path for place in places for path in ([_ROOT / place] if place.endswith(".py") else _ROOT.glob(f"{place}/**/*"))
    ]
    return sorted(
        (str(path.relative_to(_ROOT)), path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if path.suffix in (".py", ".toml")
    )
