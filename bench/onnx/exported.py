"""What lies in the folder of an exported inference step. Imports no torch.

`model.onnx` with its weights beside it, `inputs.npz` (one batch, in the order of the model's inputs), `outputs.npz`
(what torch computes for it in fp32) and `exported.json`, which is written last.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from sslbench.bench.errors import MeasureError

MODEL_FILE, INPUTS_FILE, OUTPUTS_FILE, MANIFEST_FILE = "model.onnx", "inputs.npz", "outputs.npz", "exported.json"
WEIGHTS_FILE = f"{MODEL_FILE}.data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An exported inference step."""

    opset: int
    """Version of the ONNX operator set."""
    batch: str = ""
    """The model's name for a batch of any size; empty where only the exported size runs."""
    parameters: int = 0
    """Parameter elements of the module, tied ones counted once."""
    warnings: Sequence[str] = ()
    """What a record of it shall say."""
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every other file of the folder."""

    def write(self, folder: Path) -> None:
        """Describe a folder that has all other files."""
        digests = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST_FILE}
        text = json.dumps({**asdict(self), "digests": digests}, indent=2)
        (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_exported(folder: Path) -> Exported:
    """The description of a folder.

    Raises:
        MeasureError: there is none.
    """
    try:
        return Exported(**json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise MeasureError(f"{folder}: holds no exported inference step: {error}") from error


def is_whole(folder: Path) -> bool:
    """Whether every file is there as it was written."""
    try:
        digests = read_exported(folder).digests
        return MODEL_FILE in digests and all(_digest(folder / name) == digest for name, digest in digests.items())
    except (MeasureError, OSError):
        return False


def model_bytes(folder: Path) -> int:
    """Size of the model with its weights."""
    return sum(path.stat().st_size for path in folder.glob(f"{MODEL_FILE}*"))


def load_arrays(path: Path) -> list[np.ndarray]:
    """The arrays of a file, in their order.

    Raises:
        MeasureError: it cannot be read.
    """
    try:
        with np.load(path) as arrays:
            return [arrays[name] for name in arrays.files]
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise MeasureError(f"{path}: cannot be read: {error}") from error


def _digest(path: Path) -> str:
    import hashlib  # noqa: PLC0415 - brings OpenSSL, 4 MiB that a process which only runs the model does not need

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
