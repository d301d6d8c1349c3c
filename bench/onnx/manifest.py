"""What lies in the folder of an exported training step, and how its inputs and outputs belong together. No torch."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sslbench.bench.errors import MeasureError

STATE_FILE, MANIFEST_FILE = "state.npz", "training.json"
"""Beside the files that an exported inference step has too (`sslbench.bench.onnx.exported`)."""


class Manifest(BaseModel):
    """The names in an exported training step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    """Name of the recipe."""
    versions: dict[str, str]
    """Packages that it was exported with."""
    loss: str
    """Name of the output that has the loss, a scalar."""
    inputs: list[str]
    """Inputs that a step reads and does not change: the batch, the learning rate; values in `inputs.npz`."""
    fixed: list[str]
    """State that a step only reads; values in `state.npz`."""
    updated: dict[str, str]
    """State that a step changes: by the name of its input that of the output with its new value; in `state.npz`."""

    def write(self, folder: Path) -> None:
        """Write `MANIFEST_FILE`."""
        (folder / MANIFEST_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        MeasureError: the folder holds no exported training step, or one that is not whole.
    """
    path = folder / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise MeasureError(f"{folder}: holds no exported training step ({MANIFEST_FILE} is missing)") from error
    except (OSError, ValidationError) as error:
        raise MeasureError(f"{path}: is no manifest of a training step: export it again ({_first(error)})") from error


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
